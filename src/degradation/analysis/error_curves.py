"""Error curves over the iterations: the figure, and the axis of errors that other figures share."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import ERRORS, KINDS
from degradation.analysis.marks import depth_handles, legend, ticks_at
from degradation.analysis.series import (
    FLOOR_PCT,
    RUNNING,
    TEST_CURVES,
    TRAIN_CURVES,
    by_depth,
    densest,
    error_axis,
    has_test_at_the_end_alone,
    longest_grid,
    milestones,
    on_grid,
    with_curve,
)
from degradation.analysis.style import (
    LINES,
    MARKERS,
    REFERENCE,
    colour,
    handle,
    note,
    palette,
    title,
)
from degradation.records import DIVERGED


def has_errors(study: Study) -> bool:
    return any(run.curves.keys() & set(ERRORS) for run in study.runs)


def error_curves(study: Study, name: str = "Error curves") -> Figure | None:
    """Two panels, plain and residual: mean over seeds, band from the best to the worst seed."""
    shown = study.without_variants()
    if not has_errors(shown):
        return None
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    keys = {"training": densest(shown.runs, TRAIN_CURVES), "test": densest(shown.runs, TEST_CURVES)}
    set_error_axis(panels[0], study, [""])
    for axes, kind in zip(panels, KINDS, strict=True):
        for milestone in milestones(shown):
            axes.axvline(milestone, color=palette().faint, linewidth=0.9, linestyle=REFERENCE)
        for index, (depth, runs) in enumerate(by_depth(study, kind).items()):
            for split, key in keys.items():
                _mean_curve(
                    axes,
                    depth,
                    with_curve(runs, key),
                    key,
                    split=split,
                    index=index,
                )
        changed = any(run.kind == kind and run.has_ended for run in study.runs)
        absent = "only runs with a change have ended" if changed else "no run has ended"
        _without_points(axes, by_depth(study, kind), list(keys.values()), absent)
        axes.set_title(kind.capitalize())
        axes.set_xlabel("iteration")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    label = _training_name(study) if keys["training"] == RUNNING else "clean"
    handles = depth_handles(depth for kind in KINDS for depth in by_depth(study, kind))
    handles += [handle(palette().text, LINES["training"], "", f"training ({label})")]
    at_end = has_test_at_the_end_alone(shown)
    line, marker = ("none", "o") if at_end else (LINES["test"], "")
    handles += [handle(palette().text, line, marker, study.test_name + ", at the end" * at_end)]
    legend(figure, handles)
    several = "mean over seeds, band from the best seed to the worst"
    title(figure, shown, name, several if shown.has_spread else "one run an arm")
    return figure


def _training_name(study: Study) -> str:
    """Of the running error, which is on the images as they are trained on."""
    augments = any(run.config.get("data", {}).get("augment", True) for run in study.runs)
    return "running, augmented" if augments else "running"


def _without_points(
    axes: Axes, arms: dict[int, list[RunCurves]], keys: Sequence[str], absent: str
) -> None:
    """Says so where a kind has no runs, or an arm diverged before its first evaluation."""
    gone = [] if arms else [absent]
    gone += [
        f"{depth} layers: {len(runs)} of {len(runs)} diverged"
        for depth, runs in arms.items()
        if all(run.status == DIVERGED and not run.curves.keys() & set(keys) for run in runs)
    ]
    if gone:
        note(axes, "\n".join(gone))


def _mean_curve(
    axes: Axes, depth: int, runs: list[RunCurves], key: str, *, split: str, index: int
) -> None:
    if not runs:
        return
    grid = longest_grid(runs, key)
    errors = np.array([on_grid(run, key, grid) for run in runs])  # (seeds, points)
    errors = np.maximum(errors, floor_of(axes))
    every = max(1, len(grid) // 6)
    axes.plot(
        grid, errors.mean(axis=0), color=colour(depth), linestyle=LINES[split],
        linewidth=1.9 if split == "test" else 1.5,
        marker=MARKERS.get(depth, "X"), markersize=5, markeredgewidth=1.2,
        markerfacecolor=colour(depth) if split == "test" else palette().background,
        markevery=((index * every) // 4 + (every // 2 if split == "test" else 0), every),
    )  # fmt: skip
    if len(runs) > 1:
        axes.fill_between(
            grid,
            errors.min(axis=0),
            errors.max(axis=0),
            color=colour(depth),
            alpha=0.13,
            linewidth=0,
        )


def set_error_axis(axes: Axes, study: Study, variants: Sequence[str]) -> None:
    begins = error_axis(
        runs
        for variant in variants
        for kind in KINDS
        for runs in by_depth(study, kind, variant).values()
    )
    axes.set_ylabel("error in %")
    if begins.is_log:
        axes.set_yscale("log")
        axes.set_ylim(begins.log, 130)
        ticks_at(axes.yaxis, [0.01, 0.1, 1, 2, 5, 10, 20, 50, 100], "{x:g}")
    else:
        axes.set_ylim(begins.linear, 95)


def floor_of(axes: Axes) -> float:
    return FLOOR_PCT if axes.get_yscale() == "log" else 0.0
