"""Figures of the probes `lesion` and `identity`, of the last iterate: block by block, cost against
distance from the identity, and several blocks deleted at once.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import depth_handles, legend
from degradation.analysis.series import Arms, arms_with
from degradation.analysis.style import (
    BEFORE,
    MARKERS,
    REFERENCE,
    Drawing,
    chance,
    colour,
    handle,
    kind_colour,
    kind_style,
    palette,
    title,
)

LESION = "probe/lesion/"
INTACT = "probe/lesion/intact"
ONE_DELETED = "probe/lesion/delete_error_mean"
DISTANCE = "probe/identity/block/"
ROWS = {
    "probe/lesion/delete/": "error without the block in %",
    "probe/lesion/swap/": "error with it and the\nnext swapped in %",
    DISTANCE: "distance from identity\n(change / input)",
}


def _arms(study: Study) -> Arms:
    """Finished runs with lesions on record by kind and depth; arms with overrides stay out."""
    arms = arms_with(study, INTACT)
    finished = {arm: [run for run in runs if INTACT in run.last] for arm, runs in arms.items()}
    return {arm: runs for arm, runs in finished.items() if runs}


def series(runs: list[RunCurves], prefix: str) -> dict[int, list[float]]:
    """Number -> each run's value, of the entries `<prefix><number>`."""
    found: dict[int, list[float]] = {}
    for run in runs:
        for key, value in run.last.items():
            if key.startswith(prefix):
                found.setdefault(int(key.removeprefix(prefix)), []).append(value)
    return dict(sorted(found.items()))


def _means(runs: list[RunCurves], prefix: str) -> dict[int, float]:
    return {i: float(np.mean(values)) for i, values in series(runs, prefix).items()}


def _lesion_blocks(study: Study) -> Figure | None:
    """Against the block: error with it deleted, with it and the next swapped, its distance."""
    if not (arms := _arms(study)):
        return None
    depths = sorted({depth for _, depth in arms})
    figure = Figure(figsize=(2.6 * len(depths) + 1.6, 7.2), layout="constrained")
    panels = figure.subplots(len(ROWS), len(depths), sharex="col", sharey="row", squeeze=False)
    for row, (prefix, label) in enumerate(ROWS.items()):
        panels[row, 0].set_ylabel(label)
        for column, depth in enumerate(depths):
            for kind in KINDS:
                _block_line(panels[row, column], arms.get((kind, depth), []), kind, prefix)
        if prefix != DISTANCE:
            panels[row, 0].set_ylim(0, 100)
            for axes in panels[row]:
                chance(axes, labelled=False)
        else:
            panels[row, 0].set_ylim(bottom=0)
    for column, depth in enumerate(depths):
        panels[0, column].set_title(f"{depth} layers")
        panels[-1, column].set_xlabel("block (1: at the input)")
        panels[-1, column].xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = [handle(kind_colour(kind), "solid", kind_style(kind)[1], kind) for kind in KINDS]
    handles += [handle(kind_colour(kind), BEFORE, "", f"{kind}, intact") for kind in KINDS]
    handles += [handle(palette().line, "none", "o", "changes the size", False)]
    handles += [handle(palette().line, REFERENCE, "", "chance")]
    legend(figure, handles)
    title(figure, study.without_variants(), "Single blocks deleted and swapped", "mean and range")
    return figure


def _block_line(axes: Axes, runs: list[RunCurves], kind: str, prefix: str) -> None:
    if not (found := series(runs, prefix)):
        return
    tint, marker = kind_style(kind)
    numbers, means = list(found), [float(np.mean(values)) for values in found.values()]
    axes.vlines(
        numbers, list(map(min, found.values())), list(map(max, found.values())),
        color=tint, linewidth=1.2, alpha=0.45,
    )  # fmt: skip
    size = 5.5 if len(found) < 30 else 3.5
    axes.plot(numbers, means, color=tint, linewidth=0.9, marker=marker, markersize=size)
    if prefix == DISTANCE:
        return
    intact = float(np.mean([run.last[INTACT] for run in runs]))
    axes.axhline(intact, color=tint, linewidth=1.3, linestyle=BEFORE)
    kept = series(runs, DISTANCE)
    odd = [i for i in numbers if kept and i not in kept and "delete" in prefix]
    axes.plot(
        odd, [means[numbers.index(i)] for i in odd], color=tint, linestyle="none", marker=marker,
        markersize=size, markerfacecolor=palette().background,
    )  # fmt: skip


def _lesion_identity(study: Study) -> Figure | None:
    """Rise of the error when a block is deleted against its distance from the identity."""
    arms = {arm: runs for arm, runs in _arms(study).items() if series(runs, DISTANCE)}
    if not arms:
        return None
    figure = Figure(figsize=(9.4, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        for (of_kind, depth), runs in arms.items():
            if of_kind == kind:
                axes.plot(*_cost(runs), color=colour(depth), linestyle="none",
                          marker=MARKERS.get(depth, "X"), markersize=5.5, alpha=0.75)  # fmt: skip
        axes.axhline(0, color=palette().line, linewidth=1)
        axes.set_title(kind.capitalize())
        axes.set_xlim(left=0)
    panels[0].set_xlabel("||block(x) - x|| / ||x||")
    panels[1].set_xlabel("||F(x)|| / ||x||")
    panels[0].set_ylabel("error without the block,\npoints above intact")
    legend(figure, depth_handles((depth for _, depth in arms), "none"))
    title(
        figure,
        study.without_variants(),
        "What deleting a block costs",
        "a dot a block, mean over seeds",
    )
    return figure


def _cost(runs: list[RunCurves]) -> tuple[list[float], list[float]]:
    """Distance and rise of each block that keeps the size."""
    distances, errors = _means(runs, DISTANCE), _means(runs, f"{LESION}delete/")
    intact = float(np.mean([run.last[INTACT] for run in runs]))
    return list(distances.values()), [errors[i] - intact for i in distances]


def _lesion_several(study: Study) -> Figure | None:
    """Error against the number of blocks deleted at once."""
    arms = {arm: runs for arm, runs in _arms(study).items() if series(runs, f"{LESION}random/")}
    if not arms:
        return None
    figure = Figure(figsize=(9.4, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        for (of_kind, depth), runs in arms.items():
            if of_kind == kind:
                _several_line(axes, runs, depth)
        chance(axes, labelled=False)
        axes.set_title(kind.capitalize())
        axes.set_xlabel("blocks deleted")
        axes.set_ylim(0, 100)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("error in %")
    handles = depth_handles(depth for _, depth in arms)
    handles += [handle(palette().line, REFERENCE, "", "chance")]
    legend(figure, handles)
    title(figure, study.without_variants(), "Several random blocks deleted", "mean and range")
    return figure


def _several_line(axes: Axes, runs: list[RunCurves], depth: int) -> None:
    found = {0: [run.last[INTACT] for run in runs], 1: [run.last[ONE_DELETED] for run in runs]}
    found |= series(runs, f"{LESION}random/")
    axes.fill_between(
        list(found), list(map(min, found.values())), list(map(max, found.values())),
        color=colour(depth), alpha=0.13, linewidth=0,
    )  # fmt: skip
    axes.plot(
        list(found), [float(np.mean(values)) for values in found.values()], color=colour(depth),
        marker=MARKERS.get(depth, "X"), markersize=5.5, linewidth=1.7,
    )  # fmt: skip


FIGURES = (
    Drawing(
        "lesion_blocks",
        "Single blocks deleted and swapped",
        "Error on 500 test images with one block of the trained net deleted (top), with it and the "
        "next one swapped (middle), and how far the block is from the identity on 250 training "
        "images (bottom): "
        "||F(x)|| / ||x|| of a residual block, ||block(x) - x|| / ||x|| of a plain one. Mean over "
        "seeds, bars from the least to the greatest; dash-dotted: the intact net; hollow: a block "
        "that changes the size, of which shortcut A is left in both nets.",
        _lesion_blocks,
        shows=Study.without_variants,
    ),
    Drawing(
        "lesion_identity",
        "What deleting a block costs, against its distance from the identity",
        "A dot a block that keeps the size, mean over seeds. At 0 it would be the identity.",
        _lesion_identity,
        shows=Study.without_variants,
    ),
    Drawing(
        "lesion_several",
        "Several random blocks deleted",
        "Error on 500 test images with several blocks deleted at once, drawn from those that "
        "keep the size, five draws a point; one: mean over all of them. Mean over seeds, band "
        "from the least to the greatest.",
        _lesion_several,
        shows=Study.without_variants,
    ),
)
