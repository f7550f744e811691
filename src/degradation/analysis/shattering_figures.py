"""Figures of the probe `shattering`: correlation of input gradients, and what they look like."""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import (
    HOW,
    LESS,
    before_and_after,
    before_and_after_handles,
    depth_axis,
    depth_handles,
    legend,
    ticks_at,
)
from degradation.analysis.series import Arms, arms_with
from degradation.analysis.style import MARKERS, Drawing, colour, kind_colour, palette, title

LAG = "probe/shattering/autocorrelation/"
SLOPE = "probe/shattering/slope/"
NEIGHBOURS = f"{LAG}1"
VARIANTS = {"": "batch norm", "batch_normfalse": "no batch norm"}
"""What an arm's overrides are called; others are not drawn."""


def _variants(study: Study) -> dict[str, Arms]:
    """Those that were measured."""
    return {
        variant: arms for variant in VARIANTS if (arms := arms_with(study, NEIGHBOURS, variant))
    }


def _autocorrelation(study: Study) -> Figure | None:
    """Against the lag before the first step: a row with batch norm and one without, a column a
    kind.
    """
    if not (variants := _variants(study)):
        return None
    figure = Figure(figsize=(9.4, 3.1 * len(variants) + 1), layout="constrained")
    panels = figure.subplots(len(variants), len(KINDS), sharex=True, sharey=True, squeeze=False)
    for row, (variant, arms) in zip(panels, variants.items(), strict=True):
        for axes, kind in zip(row, KINDS, strict=True):
            axes.axhline(0, color=palette().line, linewidth=1)
            for (of_kind, depth), runs in arms.items():
                if of_kind == kind:
                    _lag_curve(axes, depth, runs)
            axes.set_title(f"{kind}, {VARIANTS[variant]}")
        row[0].set_ylabel("correlation of gradients")
    for axes in panels[-1]:
        axes.set_xlabel("lag (steps of 1/63 of the line)")
        axes.set_xscale("log")
        ticks_at(axes.xaxis, [1, 2, 4, 8, 16, 32, 63])
    panels[0, 0].set_ylim(-0.1, 1)
    legend(figure, depth_handles(depth for arms in variants.values() for _, depth in arms))
    how = "before the first step; mean over seeds, band from the lowest to the highest"
    title(figure, study, "Autocorrelation of input gradients", how)
    return figure


def _lag_curve(axes: Axes, depth: int, runs: list[RunCurves]) -> None:
    keys = {key for run in runs for key in run.curves if key.startswith(LAG)}
    lags = sorted(int(key.removeprefix(LAG)) for key in keys)
    found = [
        [run.curves[f"{LAG}{lag}"].values[0] for run in runs if f"{LAG}{lag}" in run.curves]
        for lag in lags
    ]
    tint = colour(depth)
    means = [float(np.mean(values)) for values in found]
    axes.plot(
        lags, means, color=tint, marker=MARKERS.get(depth, "X"),
        markersize=4.5, linewidth=1.6,
    )  # fmt: skip
    low, high = [min(values) for values in found], [max(values) for values in found]
    axes.fill_between(lags, low, high, color=tint, alpha=0.15, linewidth=0)


def _by_depth(study: Study) -> Figure | None:
    """Of neighbouring points against depth, a panel a variant: before the first step and at the
    end.
    """
    if not (variants := _variants(study)):
        return None
    figure = Figure(figsize=(3.6 * len(variants) + 2.4, 4.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(variants), sharey=True))
    for axes, (variant, arms) in zip(panels, variants.items(), strict=True):
        axes.axhline(0, color=palette().line, linewidth=1)
        before_and_after(axes, study, NEIGHBOURS, variant)
        axes.set_title(VARIANTS[variant])
        depth_axis(axes, (depth for _, depth in arms))
    panels[0].set_ylabel("correlation of neighbouring gradients")
    panels[0].set_ylim(-0.2, 1.05)
    legend(figure, before_and_after_handles())
    title(figure, study, "Shattering", f"{HOW}; 1 for a linear net, 0 for white noise")
    return figure


def _slopes(study: Study) -> Figure | None:
    """One seed's derivative along a line, a row a kind, a column a depth: with batch norm, before
    the first step.
    """
    shown = _one_seed(study)
    if not (arms := arms_with(shown, NEIGHBOURS)):
        return None
    depths = sorted({depth for _, depth in arms})
    figure = Figure(figsize=(2.5 * len(depths) + 0.6, 4.2), layout="constrained")
    panels = figure.subplots(len(KINDS), len(depths), sharex=True, sharey=True, squeeze=False)
    for row, kind in zip(panels, KINDS, strict=True):
        for axes, depth in zip(row, depths, strict=True):
            axes.set_title(f"{kind}-{depth}", fontsize=10)
            axes.set_yticks([0])
            for run in arms.get((kind, depth), ()):
                _slope_line(axes, run)
    for axes in panels[-1]:
        axes.set_xlabel("point on a tenth of the line")
    for row in panels:
        row[0].set_ylabel("gradient (own scale)")
    how = f"batch norm, before the first step; seed {shown.runs[0].seed}"
    title(figure, shown, "The gradient from one image to another", how)
    return figure


def _one_seed(study: Study) -> Study:
    """The lowest, with batch norm."""
    runs = [run for of in arms_with(study, NEIGHBOURS).values() for run in of]
    seed = min((run.seed for run in runs), default=None)
    return replace(study, runs=[run for run in runs if run.seed == seed])


def _slope_line(axes: Axes, run: RunCurves) -> None:
    count = sum(key.startswith(SLOPE) for key in run.curves)
    slopes = np.array([run.curves[f"{SLOPE}{i}"].values[0] for i in range(1, count + 1)])
    tint = kind_colour(run.kind)
    axes.plot(range(1, count + 1), slopes / np.abs(slopes).max(), color=tint, linewidth=1.2)


FIGURES = (
    Drawing(
        "shattering_autocorrelation",
        "Autocorrelation of input gradients against the lag",
        "Mean cosine of the gradients of one logit with respect to the input, at points so many "
        "steps apart on the straight line between two training images, over four lines; before the "
        "first step, mean over seeds with the band from the lowest to the highest. 1 for a linear "
        "net, 0 for white noise. After Balduzzi et al. 2017, Fig. 2.",
        _autocorrelation,
    ),
    Drawing(
        "shattering_by_depth",
        "Correlation of neighbouring gradients against depth",
        "The same at lag 1, a sixty-third of the way from one image to the other, before the first "
        f"step and at the last record: mean with Student's 95 % interval, each seed a dot. {LESS}",
        _by_depth,
    ),
    Drawing(
        "shattering_slopes",
        "Derivative of a logit along the line from one image to another",
        "One seed's derivative of a logit along the line between two training images, at 64 points "
        "on the first tenth of it, with batch norm, before the first step; each panel has its own "
        "scale. After Balduzzi et al. 2017, Fig. 1.",
        _slopes,
        shows=_one_seed,
    ),
)
