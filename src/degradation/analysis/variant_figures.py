"""Figure of a study that changes one thing at a time: the rise of the training error with depth."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradation.analysis.curves import DIVERGED_ERROR_PCT, RunCurves, Study
from degradation.analysis.estimands import KINDS, Metric
from degradation.analysis.marks import legend
from degradation.analysis.series import values_of
from degradation.analysis.statistics import CONFIDENCE, mean_interval
from degradation.analysis.style import (
    LINES,
    MARKERS,
    REFERENCE,
    VARIANTS,
    Drawing,
    handle,
    kind_colour,
    palette,
    title,
)
from degradation.records import DIVERGED

ERROR = Metric("eval/train_error_pct")

Arms = dict[tuple[str, str, int], list[RunCurves]]
"""Ended runs by overrides, kind and depth."""


def _arms(study: Study) -> Arms:
    arms: Arms = {}
    for run in study.runs:
        if run.has_ended:
            arms.setdefault((run.overrides, run.kind, run.depth), []).append(run)
    return arms


def _rises(study: Study) -> Figure | None:
    """A row a variant, in it plain above residual, each from the shallow net to the deep one."""
    arms = _arms(study)
    depths = sorted({depth for _, _, depth in arms})
    variants = sorted({variant for variant, _, _ in arms}, key=_place)
    both = len(depths) == 2 and all(("", kind, depth) in arms for kind in KINDS for depth in depths)
    measured = any(ERROR.name in run.last for run in study.runs)
    if not both or len(variants) == 1 or not measured:
        return None
    figure = Figure(figsize=(8.6, 1.5 + 0.58 * len(variants)), layout="constrained")
    axes = figure.subplots()
    for row, variant in enumerate(variants):
        for kind, side in zip(KINDS, (-0.17, 0.17), strict=True):
            found = [(depth, arms.get((variant, kind, depth), [])) for depth in depths]
            _rise(axes, row + side, kind, found)
    axes.axvline(DIVERGED_ERROR_PCT, color=palette().line, linewidth=1, linestyle=REFERENCE)
    axes.text(DIVERGED_ERROR_PCT, 1, "chance", color=palette().muted, fontsize=9, ha="right",
              va="bottom", transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_yticks(range(len(variants)), [VARIANTS.get(name, name) for name in variants])
    axes.set_ylim(len(variants) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("clean training error of the last iterate in %")
    handles = [
        handle(kind_colour(kind), LINES["training"], MARKERS.get(depth, "X"),
               f"{kind}, {depth} layers", filled=depth == depths[1])
        for kind in KINDS for depth in depths
    ]  # fmt: skip
    legend(figure, handles)
    title(figure, study, "What the effect needs", f"mean and {100 * CONFIDENCE:.0f} % interval")
    return figure


def _place(variant: str) -> tuple[int, str]:
    """As listed, those not listed below."""
    known = list(VARIANTS)
    return (known.index(variant) if variant in known else len(known), variant)


def _rise(axes: Axes, y: float, kind: str, found: list[tuple[int, list[RunCurves]]]) -> None:
    """One kind of one variant: `found` has the shallow net's runs and the deep one's."""
    tint = kind_colour(kind)
    means = []
    for place, (depth, runs) in enumerate(found):
        values = values_of(runs, ERROR)
        if not values:
            continue
        means.append(float(np.mean(values)))
        axes.plot(values, [y] * len(values), ".", color=tint, alpha=0.35, markersize=5)
        if interval := mean_interval(values, CONFIDENCE):
            axes.hlines(y, *interval, color=tint, linewidth=3, alpha=0.3)
        axes.plot(
            means[-1:], [y], marker=MARKERS.get(depth, "X"), color=tint, markersize=7, zorder=3,
            markerfacecolor=tint if place else palette().background, markeredgewidth=1.4,
        )  # fmt: skip
        if diverged := sum(run.status == DIVERGED for run in runs):
            told = f"{diverged} of {len(runs)} diverged"
            axes.annotate(told, (means[-1], y), (-7, -4), textcoords="offset points", fontsize=8,
                          color=palette().muted, ha="right", va="top")  # fmt: skip
    axes.plot(means, [y] * len(means), color=tint, linewidth=1.4, linestyle=LINES["training"])


FIGURES = (
    Drawing(
        "rises",
        "Training error with one thing changed at a time, from the shallow net to the deep one",
        "Clean training error of the last iterate, each row with one thing changed: from the "
        "shallow net (open) to the deep one (filled), plain above residual. Mean over seeds with "
        "Student's 95 % interval, each seed a dot; a diverged run counts as 90 %. A plain net has "
        "no shortcut to change, and in pre-activation order it is the same net.",
        _rises,
    ),
)
