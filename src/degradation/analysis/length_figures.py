"""Figures of a study that trains for several lengths: what longer training makes of the error, and
how long each depth takes.
"""

import re
from collections import Counter
from dataclasses import replace

from matplotlib.axes import Axes
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
from degradation.analysis.series import FINAL, FLOOR_PCT, by_depth, milestones, samples, values_of
from degradation.analysis.style import REFERENCE, Drawing, chance, note, palette, title

LENGTH_ALONE = re.compile(r"(iterations\d+)?-?(milestones(none|[\d_]+))?")
"""Overrides that change nothing but how long is trained."""
LEVEL_PCT = 70
"""Of the running training error: what plain nets of up to 56 layers get to in time."""
CROSSING = Metric("train/error_pct", reaches_pct=LEVEL_PCT)


def stretched(study: Study) -> Study:
    """Its runs that differ in how long is trained and in nothing else: the rate falls at the same
    shares of each length. Where there are several choices of these, the most common one.
    """
    alike = [run for run in study.runs if LENGTH_ALONE.fullmatch(run.overrides)]
    common = Counter(map(_shares, alike)).most_common(1)
    return replace(study, runs=[run for run in alike if _shares(run) == common[0][0]])


def _shares(run: RunCurves) -> tuple[float, ...]:
    """Of the training, after which the rate falls."""
    found = run.config.get("schedule", {}).get("milestones", ())
    return tuple(round(milestone / run.iterations, 3) for milestone in found)


def by_length(study: Study) -> dict[int, Study]:
    """What was trained for how many iterations, under the arms' names without the length; lengths
    of which a run has ended.
    """
    lengths: dict[int, list[RunCurves]] = {}
    for run in stretched(study).runs:
        lengths.setdefault(run.iterations, []).append(replace(run, arm=f"{run.kind}-{run.depth}"))
    return {
        length: replace(study, runs=lengths[length])
        for length in sorted(lengths)
        if any(run.has_ended for run in lengths[length])
    }


def longest(study: Study) -> Study:
    """Its part that was trained the longest."""
    lengths = by_length(study)
    return lengths[max(lengths)] if lengths else replace(study, runs=[])


def _error_by_length(study: Study) -> Figure | None:
    """A line a depth, each point of runs of that length; of residual nets, whose errors become
    small, also on a logarithmic axis.
    """
    lengths = {
        length: part
        for length, part in by_length(study).items()
        if any(samples(part, kind, FINAL["training"]) for kind in KINDS)
    }
    if len(lengths) < 2:
        return None
    figure = Figure(figsize=(12.5, 4.6), layout="constrained")
    plain, residual, closer = figure.subplots(1, 3, sharex=True)
    residual.sharey(plain)
    for axes, kind in ((plain, "plain"), (residual, "residual"), (closer, "residual")):
        chance(axes, labelled=axes is plain)
        axes.set_xscale("log")
        _lines(axes, kind, lengths)
        axes.set_title(kind.capitalize())
        ticks_at(axes.xaxis, list(lengths), "{x:,.0f}")
        axes.set_xlabel("iterations of the whole training")
    plain.set_ylim(bottom=0)
    closer.set_yscale("log")
    closer.set_ylim(FLOOR_PCT, 130)
    ticks_at(closer.yaxis, [0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100], "{x:g}")
    closer.set_title("Residual, logarithmic")
    plain.set_ylabel("clean training error of the last iterate in %")
    legend(figure, depth_handles(run.depth for part in lengths.values() for run in part.runs))
    shown = stretched(study)
    title(figure, shown, "Longer training", HOW if shown.has_spread else "one run an arm")
    return figure


def _lines(axes: Axes, kind: str, lengths: dict[int, Study]) -> None:
    errors = {length: samples(part, kind, FINAL["training"]) for length, part in lengths.items()}
    depths = sorted({depth for of in errors.values() for depth in of})
    for place, depth in enumerate(depths):
        apart = 1.025 ** (place - (len(depths) - 1) / 2)
        found = {length: of[depth] for length, of in errors.items() if depth in of}
        means(axes, found, of_depth(depth), dodge=apart, floor=FLOOR_PCT)
    if not depths:
        note(axes, "no run has ended")


def _long_curves(study: Study) -> Figure | None:
    """As the error curves, of the longest training alone."""
    if len(lengths := by_length(study)) < 2:
        return None
    return error_curves(longest(study), f"Error curves of {max(lengths):,} iterations")


def _convergence(study: Study) -> Figure | None:
    """Iterations until the running training error is at the level, against depth; on these axes an
    exponential is a straight line.
    """
    if len(by_length(study)) < 2:
        return None
    part = longest(study)
    arms = {kind: by_depth(part, kind) for kind in KINDS}
    depths = sorted({depth for of in arms.values() for depth in of})
    if len(depths) < 3 or not any(CROSSING.name in run.curves for run in part.runs):
        return None
    figure = Figure(figsize=(7.4, 4.6), layout="constrained")
    axes = figure.subplots()
    for milestone in milestones(part):
        axes.axhline(milestone, color=palette().faint, linewidth=0.9, linestyle=REFERENCE)
    for kind, apart in zip(KINDS, (-0.8, 0.8), strict=True):
        _crossings(axes, kind, arms[kind], apart)
    axes.set_yscale("log")
    ticks_at(axes.yaxis, [50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000], "{x:,.0f}")
    ticks_at(axes.xaxis, depths)
    axes.margins(y=0.2)
    axes.set_xlabel("depth (weighted layers)")
    axes.set_ylabel(f"iterations to {LEVEL_PCT} % running training error")
    legend(figure, [of_kind(kind).handle(kind) for kind in KINDS])
    how = "mean over the seeds that got there, each a dot"
    title(figure, part, "How long a depth takes", how)
    return figure


def _crossings(axes: Axes, kind: str, arms: dict[int, list[RunCurves]], apart: float) -> None:
    """One kind's line; where runs did not get there, how many of how many."""
    found, look = {}, of_kind(kind)
    for depth, runs in arms.items():
        got_there = [run for run in runs if not run.is_censored(CROSSING)]
        if values := values_of(got_there, CROSSING):
            found[depth + apart] = values
        if lost := len(runs) - len(got_there):
            end = max(run.iterations for run in runs)
            axes.plot([depth + apart], [end], "^", color=look.colour, markerfacecolor="none")
            axes.annotate(
                f"{lost} of {len(runs)}\nnot in {end:,}", (depth + apart, end), (0, 7),
                textcoords="offset points", color=look.colour, fontsize=8, va="bottom",
                ha="right" if apart < 0 else "left",
            )  # fmt: skip
    means(axes, found, look, intervals=False)


FIGURES = (
    Drawing(
        "lengths",
        "Training error against the length of training",
        "Clean training error of the last iterate against the iterations, each point of runs that "
        "were trained for that long, with the rate's drops after the same share of it: mean over "
        "seeds with Student's 95 % interval, each seed a dot; a diverged run counts as 90 %. "
        "Right: the residual nets again, on a logarithmic axis that ends at 0.01 %.",
        _error_by_length,
        shows=stretched,
    ),
    Drawing(
        "long_curves",
        "Error curves of the longest training",
        "Error over iterations, of the runs that were trained the longest: errors of training "
        "dashed, the others solid; mean over seeds, band from the best seed to the worst; dotted "
        "where the rate falls; a diverged run goes on at 90 %.",
        _long_curves,
        shows=longest,
    ),
    Drawing(
        "convergence",
        f"Iterations until {LEVEL_PCT} % training error, against depth",
        f"Iterations until the running training error is first at {LEVEL_PCT} % or below, of the "
        "runs that were trained the longest: mean over the seeds that got there, each a dot; where "
        "some did not, a triangle at the end of training. Dotted: where the rate falls. On these "
        "axes an exponential is a straight line.",
        _convergence,
        shows=longest,
    ),
)
