"""Figure of the probe `responses`: He et al. 2015, Fig. 7."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import depth_handles, legend
from degradation.analysis.style import (
    MARKERS,
    Drawing,
    colour,
    title,
)

LAYER = "probe/responses/layer/"
ORDERS = {"in their order": "3x3 layer (1: at the input)", "ranked": "rank of the layer"}
"""Of the layers, and what the axis then counts."""


def _layer_responses(study: Study) -> Figure | None:
    """Each net's layers at the end of training: in their order, and from the largest to the
    smallest, a column a kind.
    """
    if not (arms := _responses(study)):
        return None
    figure = Figure(figsize=(10, 7.4), layout="constrained")
    panels = figure.subplots(2, len(KINDS), sharex=True, sharey="col")
    for (kind, depth), logs in arms.items():
        column = KINDS.index(kind)
        _line(panels[0, column], depth, logs.mean(axis=0))
        _line(panels[1, column], depth, np.sort(logs, axis=1)[:, ::-1].mean(axis=0))
    for row, (order, label) in enumerate(ORDERS.items()):
        for axes, kind in zip(panels[row], KINDS, strict=True):
            axes.set_title(f"{kind.capitalize()}, {order}")
            axes.set_xlabel(label)
            axes.tick_params(labelbottom=True)
        panels[row, 0].set_ylabel("standard deviation of the response")
    for axes in panels[0]:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < 10 * low:  # too little for powers of ten
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
    legend(figure, depth_handles(depth for _, depth in arms))
    title(
        figure,
        study.without_variants(),
        "Layer responses",
        "last iterate, geometric mean over seeds",
    )
    return figure


def _responses(study: Study) -> dict[tuple[str, int], NDArray[np.float64]]:
    """Decimal logarithms (seeds, layers) by kind and depth; arms with overrides stay out, and runs
    that diverged.
    """
    depths = sorted({run.depth for run in study.runs})
    found = {
        (kind, depth): [stds for run in study.ended(f"{kind}-{depth}") if (stds := _stds(run))]
        for kind in KINDS
        for depth in depths
    }
    return {arm: np.log10(stds) for arm, stds in found.items() if stds}


def _stds(run: RunCurves) -> list[float]:
    """The last iterate's, layer by layer."""
    count = sum(key.startswith(LAYER) for key in run.last)
    return [run.last[f"{LAYER}{layer}"] for layer in range(1, count + 1)]


def _line(axes: Axes, depth: int, logs: NDArray[np.float64]) -> None:
    count = len(logs)
    axes.plot(
        range(1, count + 1), 10**logs, color=colour(depth), linewidth=1.5,
        marker=MARKERS.get(depth, "X"), markersize=5, markevery=max(1, count // 6),
    )  # fmt: skip


FIGURES = (
    Drawing(
        "layer_responses",
        "Standard deviation of each layer's response, in order and ranked",
        "Standard deviation of each 3x3 layer's output after batch norm and before the "
        "nonlinearity or the addition, in eval mode on 500 training images at the end of training: "
        "the layers in their order, and each net's from the largest to the smallest; geometric "
        "mean over seeds; each kind has an axis of its own. The paper's Fig. 7, which has no "
        "plain-110.",
        _layer_responses,
        shows=Study.without_variants,
    ),
)
