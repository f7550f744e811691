"""Figures of the autoencoder: first-layer gradients of pairs of initial weights, and the losses."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import legend
from degradation.analysis.style import (
    LINES,
    REFERENCE,
    VARIANTS,
    Drawing,
    handle,
    kind_colour,
    palette,
    title,
)

L2 = "probe/first_layer/l2"
COPIED = {"plain": 0.0038, "residual": 0.0083}
"""The table that tutorials copy from one another: a single draw."""
LOSS = "train/loss"
FLOOR = 0.8327
"""Mean of min(x, 0)^2 over MNIST's training images in [-1, 1]: a sigmoid does not come lower."""


def _first_gradients(study: Study) -> Figure | None:
    """Residual against plain, a dot a pair of nets with the same initial weights."""
    variants = {variant: _pairs(study, variant) for variant in study.variants}
    variants = {variant: pairs for variant, pairs in variants.items() if len(pairs)}
    if not variants:
        return None
    figure = Figure(figsize=(4.6 * len(variants) + 0.4, 4.8), layout="constrained")
    for axes, (variant, pairs) in zip(
        np.atleast_1d(figure.subplots(1, len(variants))), variants.items(), strict=True
    ):
        axes.scatter(pairs[:, 0], pairs[:, 1], s=18, color=kind_colour("residual"), alpha=0.6)
        spread = [pairs.min(), pairs.max()]
        if not variant:
            axes.plot(
                COPIED["plain"], COPIED["residual"], "*", color=kind_colour("plain"), markersize=13
            )
            axes.annotate(
                "the copied table",
                (COPIED["plain"], COPIED["residual"]),
                xytext=(-10, 6),
                textcoords="offset points",
                ha="right",
                fontsize=9,
            )
            spread = [min(*spread, *COPIED.values()), max(*spread, *COPIED.values())]
        line = [0.8 * spread[0], 1.25 * spread[1]]
        axes.plot(line, line, color=palette().line, linewidth=1.2, linestyle=REFERENCE)
        axes.annotate("equal", (line[1], line[1]), fontsize=9, color=palette().muted, ha="right")
        axes.set(xscale="log", yscale="log", xlim=line, ylim=line, aspect="equal")
        axes.set_xlabel("gradient norm, plain")
        if len(variants) > 1:
            axes.set_title(VARIANTS.get(variant, variant) if variant else "inputs in [-1, 1]")
    figure.axes[0].set_ylabel("gradient norm, with the shortcut")
    title(figure, study, "L2 norm of the first layer's gradient", "a dot a pair of initial weights")
    return figure


def _pairs(study: Study, variant: str) -> NDArray[np.float64]:
    """(pairs, 2): plain and residual before the first step, of the seeds that both have."""
    found: list[dict[int, float]] = []
    for kind in KINDS:
        runs = [run for run in study.runs if run.kind == kind and run.overrides == variant]
        found.append({run.seed: run.curves[L2].values[0] for run in runs if L2 in run.curves})
    plain, residual = found
    return np.array([(plain[seed], residual[seed]) for seed in plain if seed in residual])


def _losses(study: Study) -> Figure | None:
    """Running training loss over iterations, each seed a line."""
    trained = [run for run in study.runs if L2 in run.curves and LOSS in run.curves]
    if not any(len(run.curves[LOSS].values) > 1 for run in trained):
        return None
    figure = Figure(figsize=(4.4 * len(study.variants) + 1.6, 4.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(study.variants), sharex=True))
    for axes, variant in zip(panels, study.variants, strict=True):
        for run in trained:
            if run.overrides == variant:
                _loss_line(axes, run)
        axes.set_yscale("log")
        axes.set_xlabel("iteration")
        axes.set_title(VARIANTS.get(variant, variant) if variant else "inputs in [-1, 1]")
    if "" in study.variants:
        panels[0].axhline(FLOOR, color=palette().line, linewidth=1, linestyle=REFERENCE)
        panels[0].text(0.01, FLOOR, "the plain net's floor", color=palette().muted, fontsize=9,
                       va="top", transform=panels[0].get_yaxis_transform())  # fmt: skip
    panels[0].set_ylabel("mean squared error")
    handles = [handle(kind_colour(kind), LINES["training"], "", kind) for kind in KINDS]
    legend(figure, handles)
    title(figure, study, "Loss of the autoencoder", "running, each seed a line")
    return figure


def _loss_line(axes: Axes, run: RunCurves) -> None:
    curve = run.curves[LOSS]
    tint = kind_colour(run.kind)
    axes.plot(curve.iterations, curve.values, color=tint, alpha=0.6, linewidth=1.3,
              linestyle=LINES["training"])  # fmt: skip


FIGURES = (
    Drawing(
        "first_gradients",
        "First-layer gradient with the shortcut against without",
        "L2 norm of the gradient of the first layer's weights on the first batch, before any step: "
        "a dot is a pair of nets with the same initial weights. Below the dotted line the "
        "shortcut makes it smaller. The star is the table that tutorials copy from one another.",
        _first_gradients,
    ),
    Drawing(
        "losses",
        "Loss over iterations",
        "Running mean squared error, each seed a line. Inputs in [-1, 1] keep a plain net above "
        "its floor, since a sigmoid cannot be negative; with the shortcut the net has only to be "
        "silent.",
        _losses,
    ),
)
