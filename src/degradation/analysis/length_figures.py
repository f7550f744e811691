"""Figures of a study that trains for several lengths: what longer training makes of the error, and
how long each depth takes.
"""

import re
from dataclasses import replace
from itertools import product

from matplotlib.figure import Figure

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.error_curves import error_curves
from degradation.analysis.estimands import KINDS, Metric
from degradation.analysis.marks import (
    HOW,
    depth_handles,
    legend,
    means,
    of_depth,
    of_kind,
    ticks_at,
)
from degradation.analysis.series import FINAL, by_depth, values_of
from degradation.analysis.style import Drawing, chance, title

LENGTH_ALONE = re.compile(r"(iterations\d+)?(-?milestones([\d_]+|none))?")
"""Overrides that change nothing but how long is trained."""
LEVEL_PCT = 70
"""Of the running training error: what plain nets of up to 56 layers get below in time."""
CROSSING = Metric("train/error_pct", reaches_pct=LEVEL_PCT)


def by_length(study: Study) -> dict[int, Study]:
    """The ended runs of each length, by iterations, under their arms' names without the length."""
    lengths: dict[int, list[RunCurves]] = {}
    for run in study.runs:
        if LENGTH_ALONE.fullmatch(run.overrides) and run.has_ended:
            plainly = replace(run, arm=f"{run.kind}-{run.depth}")
            lengths.setdefault(run.iterations, []).append(plainly)
    return {length: replace(study, runs=lengths[length]) for length in sorted(lengths)}


def longest(study: Study) -> Study:
    """Its part that was trained the longest."""
    *_, (_, part) = [(0, replace(study, runs=[])), *by_length(study).items()]
    return part


def _error_by_length(study: Study) -> Figure | None:
    """Two panels, plain and residual, a line a depth; each point is runs of that length."""
    lengths = by_length(study)
    arms = {kind: sorted({run.depth for run in study.runs if run.kind == kind}) for kind in KINDS}
    errors = {
        (kind, depth, length): values_of(part.ended(f"{kind}-{depth}"), FINAL["training"])
        for kind in KINDS
        for depth, (length, part) in product(arms[kind], lengths.items())
    }
    errors = {place: found for place, found in errors.items() if found}
    if len({length for *_, length in errors}) < 2:
        return None
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, len(KINDS), sharex=True, sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        chance(axes, labelled=axes is panels[-1])
        for place, depth in enumerate(arms[kind]):
            apart = 1.025 ** (place - (len(arms[kind]) - 1) / 2)
            found = {at: errors[kind, depth, at] for at in lengths if (kind, depth, at) in errors}
            means(axes, found, of_depth(depth), dodge=apart)
        axes.set_title(kind.capitalize())
        axes.set_xscale("log")
        ticks_at(axes.xaxis, list(lengths), "{x:,.0f}")
        axes.set_xlabel("iterations of the whole training")
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("clean training error of the last iterate in %")
    legend(figure, depth_handles(depth for _, depth, _ in errors))
    title(figure, study, "Longer training", HOW)
    return figure


def _long_curves(study: Study) -> Figure | None:
    """As the error curves, of the longest training alone."""
    lengths = by_length(study)
    if len(lengths) < 2:
        return None
    return error_curves(longest(study), f"Error curves of {max(lengths):,} iterations")


def _convergence(study: Study) -> Figure | None:
    """Iterations until the running training error is at the level, against depth; on these axes an
    exponential is a straight line.
    """
    part, end = longest(study), max(by_length(study), default=0)
    arms = {kind: by_depth(part, kind) for kind in KINDS}
    depths = sorted({depth for of in arms.values() for depth in of})
    is_measured = any(CROSSING.name in run.curves for run in part.runs)
    if len(by_length(study)) < 2 or len(depths) < 3 or not is_measured:
        return None
    figure = Figure(figsize=(7.4, 4.6), layout="constrained")
    axes = figure.subplots()
    for kind, apart in zip(KINDS, (-0.8, 0.8), strict=True):
        found, look = {}, of_kind(kind)
        for depth, runs in arms[kind].items():
            if got_there := [run for run in runs if not run.is_censored(CROSSING)]:
                found[depth + apart] = values_of(got_there, CROSSING)
            if lost := len(runs) - len(got_there):
                axes.plot([depth + apart], [end], "^", color=look.colour, markerfacecolor="none")
                told = f"{lost} of {len(runs)}\nnot in {end:,}"
                axes.annotate(told, (depth + apart, end), (0, -8), textcoords="offset points",
                              color=look.colour, fontsize=8, ha="center", va="top")  # fmt: skip
        means(axes, found, look, intervals=False)
    axes.set_yscale("log")
    ticks_at(axes.yaxis, [50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000], "{x:,.0f}")
    ticks_at(axes.xaxis, depths)
    axes.margins(y=0.12)
    axes.set_xlabel("depth (weighted layers)")
    axes.set_ylabel(f"iterations to {LEVEL_PCT} % running training error")
    legend(figure, [of_kind(kind).handle(kind) for kind in KINDS])
    title(figure, part, "How long a depth takes", "mean over seeds, each seed a dot")
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
    Drawing(
        "long_curves",
        "Error curves of the longest training",
        "Error over iterations of the runs that were trained the longest: training dashed, test "
        "solid; mean over seeds, band from the best seed to the worst; dotted lines where the "
        "learning rate drops; a diverged run goes on at 90 %.",
        _long_curves,
        shows=longest,
    ),
    Drawing(
        "convergence",
        f"Iterations until {LEVEL_PCT} % training error, against depth",
        f"Iterations until the running training error is at {LEVEL_PCT} %, of the runs that were "
        "trained the longest: mean over the seeds that got there, each a dot; where some did not, "
        "a triangle at the end of training. On these axes an exponential is a straight line.",
        _convergence,
        shows=longest,
    ),
)
