"""Figures of the probe `gradients`: flow against depth, and layer by layer over iterations."""

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import (
    HOW,
    LESS,
    before_and_after,
    before_and_after_handles,
    depth_axis,
    legend,
    powers_of_ten,
)
from degradation.analysis.series import arms_with
from degradation.analysis.style import VARIANTS, Drawing, palette, title

RATIO = "probe/gradients/first_to_last_output"
WEIGHT = "probe/gradients/weight/"


def _gradient_ratio(study: Study) -> Figure | None:
    """First block's gradient over the last one's against depth, a panel a variant: before the first
    step and at the end.
    """
    if not any(RATIO in run.curves for run in study.runs):
        return None
    variants = study.variants
    figure = Figure(figsize=(3.4 * len(variants) + 2, 4.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(variants)))
    for axes, variant in zip(panels, variants, strict=True):
        before_and_after(axes, study, RATIO, variant)
        axes.axhline(0, color=palette().line, linewidth=1)
        axes.set_title(VARIANTS.get(variant, variant) if variant else "batch norm")
        depth_axis(axes, (depth for _, depth in arms_with(study, RATIO, variant)))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        powers_of_ten(axes.yaxis)
    panels[0].set_ylabel("gradient at the first block / at the last")
    legend(figure, before_and_after_handles())
    title(figure, study, "Gradient flow", f"geometric {HOW}; below 1 it vanishes on its way")
    return figure


def _gradient_heat(study: Study) -> Figure | None:
    """Norm of each layer's weight gradient over iterations, a panel an arm."""
    if not (arms := arms_with(study, RATIO)):
        return None
    depths = sorted({depth for _, depth in arms})
    figure = Figure(figsize=(2.3 * len(depths) + 1.6, 5.4), layout="constrained")
    panels = figure.subplots(len(KINDS), len(depths), sharex=True, squeeze=False)
    maps = {arm: _heat(runs) for arm, runs in arms.items()}
    finite = np.concatenate([values[np.isfinite(values)] for _, values in maps.values()])
    norm = Normalize(*np.percentile(finite, [1, 99]))
    image: AxesImage | None = None
    for row, kind in enumerate(KINDS):
        for column, depth in enumerate(depths):
            axes = panels[row, column]
            axes.grid(visible=False)
            if (kind, depth) in maps:
                iterations, values = maps[kind, depth]
                image = axes.imshow(
                    values, aspect="auto", origin="lower", norm=norm, interpolation="nearest",
                    extent=(0, len(iterations), 0.5, len(values) + 0.5),
                )  # fmt: skip
                places = np.linspace(0, len(iterations) - 1, min(3, len(iterations)), dtype=int)
                axes.set_xticks(places + 0.5, [str(iterations[place]) for place in places])
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_title(f"{kind}-{depth}", fontsize=10)
            if row:
                axes.set_xlabel("iteration")
        panels[row, 0].set_ylabel("layer (1: at the input)")
    if image:
        bar = figure.colorbar(image, ax=panels, shrink=0.8, extend="both")
        bar.set_label("norm of the weights' gradient")
        powers_of_ten(bar.ax.yaxis)
    title(figure, study.without_variants(), "Gradients layer by layer", "geometric mean over seeds")
    return figure


def _heat(runs: list[RunCurves]) -> tuple[list[int], NDArray[np.float64]]:
    """Iterations (T,) and decimal logarithms (layers, T); nan where no seed has a number."""
    keys = {key for run in runs for key in run.curves if key.startswith(WEIGHT)}
    count = max(int(key.removeprefix(WEIGHT)) for key in keys)
    iterations = sorted({i for run in runs for i in run.curves[RATIO].iterations})
    sums, seen = np.zeros((count, len(iterations))), np.zeros((count, len(iterations)))
    for run in runs:
        for layer in range(1, count + 1):
            curve = run.curves.get(f"{WEIGHT}{layer}")
            for i, value in zip(curve.iterations, curve.values, strict=True) if curve else ():
                sums[layer - 1, iterations.index(i)] += np.log10(value)
                seen[layer - 1, iterations.index(i)] += 1
    with np.errstate(invalid="ignore"):
        return iterations, sums / seen


FIGURES = (
    Drawing(
        "gradient_ratio",
        "Gradient at the first block over that at the last, against depth",
        "Norm of the gradient that reaches the first block's output over that at the last one's, "
        "before the first step and at the last record: geometric mean with Student's 95 % interval "
        "of the logarithms, each seed a dot. Below 1 it vanishes on its way back, above 1 it "
        f"grows. {LESS}",
        _gradient_ratio,
    ),
    Drawing(
        "gradient_heat",
        "Norm of the weights' gradient by layer and iteration",
        "Norm of the gradient of each 3x3 layer's weights, with batch norm: geometric mean over "
        "seeds. The colours end at the 1st and the 99th percentile of what is shown.",
        _gradient_heat,
        shows=Study.without_variants,
    ),
)
