"""Figure of identity_mapping: how far from h(x) = x, over the steps."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import legend
from degradation.analysis.series import by_depth
from degradation.analysis.style import (
    MARKERS,
    REFERENCE,
    Drawing,
    handle,
    kind_colour,
    note,
    palette,
    title,
)
from degradation.records import DIVERGED, FINISHED

DISTANCE = "probe/identity/net"
FLOOR = 1e-6


def _distances(study: Study) -> Figure | None:
    """A panel a variant; each seed a thin line, the geometric mean a thick one."""
    if not any(DISTANCE in run.curves for run in study.runs):
        return None
    variants, depths = study.variants, sorted({run.depth for run in study.runs})
    columns = -(-len(variants) // 2) if len(variants) > 3 else len(variants)
    rows = -(-len(variants) // columns)
    figure = Figure(figsize=(3.1 * columns + 1.8, 2.7 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, variant in zip(panels.flat, variants, strict=False):
        for kind in KINDS:
            for depth in depths:
                arm = "-".join(filter(None, (kind, str(depth), variant)))
                _arm_lines(axes, [run for run in study.ended(arm) if DISTANCE in run.curves])
        lost = [_lost(study, kind, depth, variant) for kind in KINDS for depth in depths]
        note(axes, "\n".join(filter(None, lost)), y=0.05)
        axes.axhline(0.05, color=palette().line, linewidth=0.9, linestyle=REFERENCE)
        axes.set_title(_name(variant), fontsize=9)
        axes.set_yscale("log")
        axes.set_ylim(FLOOR, 100)
    for axes in panels[-1]:
        axes.set_xlabel("iteration")
    figure.supylabel("||net(x) - x|| / ||x||", fontsize=10)
    handles = [
        handle(kind_colour(kind), "solid", MARKERS.get(depth, "X"),
               f"{kind}, {depth // 2} block{'s' * (depth > 2)}")
        for kind in KINDS
        for depth in depths
    ]  # fmt: skip
    legend(figure, handles)
    title(figure, study, "Distance from the identity", "each seed a thin line, geometric means")
    return figure


def _lost(study: Study, kind: str, depth: int, variant: str) -> str:
    """Of an arm that diverged before there was a line to draw."""
    runs = by_depth(study, kind, variant).get(depth, [])
    has_line = any(len(run.curves[DISTANCE].values) > 1 for run in runs if DISTANCE in run.curves)
    is_lost = runs and not has_line and all(run.status == DIVERGED for run in runs)
    blocks = f"{depth // 2} block{'s' * (depth > 2)}"
    return f"{kind}, {blocks}: {len(runs)} of {len(runs)} diverged" if is_lost else ""


def _name(variant: str) -> str:
    named = {
        "activationlinear": "linear",
        "initfan_in": "He's weights",
        "weight_decay0.001": "weight decay",
    }
    parts = [named.get(part, part) for part in variant.split("-")]
    return ", ".join(parts) if variant else "ReLU, small weights"


def _arm_lines(axes: Axes, runs: list[RunCurves]) -> None:
    for run in runs:
        curve, tint = run.curves[DISTANCE], kind_colour(run.kind)
        axes.plot(curve.iterations, np.maximum(curve.values, FLOOR), color=tint, alpha=0.25,
                  linewidth=0.7)  # fmt: skip
    whole = [run.curves[DISTANCE] for run in runs if run.status == FINISHED]
    if whole:
        logs = np.log([np.maximum(curve.values, FLOOR) for curve in whole])
        tint = kind_colour(runs[0].kind)
        axes.plot(whole[0].iterations, np.exp(logs.mean(axis=0)), color=tint, linewidth=1.8,
                  marker=MARKERS.get(runs[0].depth, "X"), markersize=5, markevery=0.25)  # fmt: skip


FIGURES = (
    Drawing(
        "identity_distance",
        "Distance from the identity over the steps",
        "How far the net is from copying its input, relative to the input: each seed a thin line, "
        "the geometric mean of those that did not diverge a thick one; dotted: 5 %. Arms without "
        "an entry in a panel's title have small initial weights, ReLU and no weight decay.",
        _distances,
    ),
)
