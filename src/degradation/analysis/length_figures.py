"""Figure of a study that trains for several lengths: the training error against the iterations."""

import re
from itertools import product

from matplotlib.figure import Figure

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import HOW, depth_handles, legend, means, of_depth, ticks_at
from degradation.analysis.series import FINAL, values_of
from degradation.analysis.style import Drawing, chance, title

LENGTH_ALONE = re.compile(r"(iterations\d+)?(-?milestones([\d_]+|none))?")
"""Overrides that change nothing but how long is trained."""

Lengths = dict[int, list[RunCurves]]
"""Ended runs by iterations."""


def _by_length(study: Study, kind: str, depth: int) -> Lengths:
    lengths: Lengths = {}
    for run in study.runs:
        of_arm = (run.kind, run.depth) == (kind, depth) and LENGTH_ALONE.fullmatch(run.overrides)
        if of_arm and run.has_ended:
            lengths.setdefault(run.iterations, []).append(run)
    return dict(sorted(lengths.items()))


def _error_by_length(study: Study) -> Figure | None:
    """Two panels, plain and residual, a line a depth; each point is runs of that length."""
    depths = sorted({run.depth for run in study.runs})
    arms = {arm: _by_length(study, *arm) for arm in product(KINDS, depths)}
    errors = {
        arm: {length: values_of(runs, FINAL["training"]) for length, runs in lengths.items()}
        for arm, lengths in arms.items()
    }
    found = sorted({length for of in errors.values() for length, pct in of.items() if pct})
    if len(found) < 2:
        return None
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, len(KINDS), sharex=True, sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        chance(axes, labelled=axes is panels[-1])
        for place, depth in enumerate(depths):
            apart = 1.025 ** (place - (len(depths) - 1) / 2)
            measured = {length: pct for length, pct in errors[kind, depth].items() if pct}
            means(axes, measured, of_depth(depth), dodge=apart)
        axes.set_title(kind.capitalize())
        axes.set_xscale("log")
        ticks_at(axes.xaxis, found, "{x:,.0f}")
        axes.set_xlabel("iterations of the whole training")
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("clean training error of the last iterate in %")
    legend(figure, depth_handles(depth for (_, depth), of in errors.items() if of))
    title(figure, study, "Longer training", HOW)
    return figure


FIGURES = (
    Drawing(
        "lengths",
        "Training error against the length of training",
        "Clean training error of the last iterate against the iterations, each point of runs that "
        "were trained for that long, with the rate's drops at the same share of it: mean over "
        "seeds with Student's 95 % interval, each seed a dot; a diverged run counts as 90 %.",
        _error_by_length,
    ),
)
