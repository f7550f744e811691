"""Figures from records alone, for print and for the colour-blind; redrawing gives the same bytes.

A depth has one colour and one marker in all figures; errors of training are dashed and those of the
test solid, as in the paper. Nothing rests on colour alone. Each is drawn for light pages and for
dark ones.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradation.analysis import (
    autoencoder_figures,
    chain_rule_figures,
    construction_figures,
    forming_figures,
    gradient_figures,
    identity_figures,
    length_figures,
    lesion_figures,
    rate_figures,
    response_figures,
    shattering_figures,
    variant_figures,
)
from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import ERRORS, KINDS
from degradation.analysis.marks import (
    HOW,
    depth_axis,
    depth_handles,
    legend,
    means,
    of_kind,
    ticks_at,
)
from degradation.analysis.series import (
    FINAL,
    FLOOR_PCT,
    RUNNING,
    TEST_CURVES,
    TRAIN_CURVES,
    by_depth,
    densest,
    depth_range,
    dodge,
    error_axis,
    has_test_at_the_end_alone,
    longest_grid,
    milestones,
    on_grid,
    samples,
    shown_at_the_end,
    with_curve,
)
from degradation.analysis.style import (
    LIGHT,
    LINES,
    MARKERS,
    REFERENCE,
    THEMES,
    VARIANTS,
    chance,
    colour,
    handle,
    note,
    palette,
    save,
    themed,
    title,
)
from degradation.records import DIVERGED

OWN = (
    *forming_figures.FIGURES,
    *autoencoder_figures.FIGURES,
    *gradient_figures.FIGURES,
    *chain_rule_figures.FIGURES,
    *construction_figures.FIGURES,
    *identity_figures.FIGURES,
    *length_figures.FIGURES,
    *lesion_figures.FIGURES,
    *rate_figures.FIGURES,
    *response_figures.FIGURES,
    *shattering_figures.FIGURES,
    *variant_figures.FIGURES,
)
"""Of single experiments: drawn for whichever study has what they show."""


def draw(study: Study, folder: Path) -> list[Path]:
    """The figures as PNG and SVG, light and dark; the paths of the light ones, which the report
    shows. Nothing is drawn for what was not measured.
    """
    drawn = {}
    for theme in THEMES:
        with themed(theme):
            drawn[theme] = [
                path
                for stem, draw_one in ALL.items()
                if (figure := draw_one(study))
                for path in save(figure, folder, stem)
            ]
    return drawn[LIGHT]


def _has_errors(study: Study) -> bool:
    return any(run.curves.keys() & set(ERRORS) for run in study.runs)


def _error_curves(study: Study) -> Figure | None:
    """Two panels, plain and residual: mean over seeds, band from the best to the worst seed."""
    shown = study.without_variants()
    if not _has_errors(shown):
        return None
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    keys = {"training": densest(shown.runs, TRAIN_CURVES), "test": densest(shown.runs, TEST_CURVES)}
    _error_axis(panels[0], study, [""])
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
    title(figure, shown, "Error curves", several if shown.has_spread else "one run an arm")
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
    errors = np.maximum(errors, _floor(axes))
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


def _error_axis(axes: Axes, study: Study, variants: Sequence[str]) -> None:
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


def _floor(axes: Axes) -> float:
    return FLOOR_PCT if axes.get_yscale() == "log" else 0.0


def _final_error(study: Study) -> Figure | None:
    """Error of the last iterate against depth, each seed a dot, with Student's intervals; a panel
    a variant, where there are few.
    """
    if not _has_errors(study):
        return None
    shown = shown_at_the_end(study)
    variants = shown.variants or [""]
    width = 2.4 + 4.4 * len(variants) if len(variants) == 1 else 2 + 3.4 * len(variants)
    figure = Figure(figsize=(width, 4.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(variants), sharey=True))
    _error_axis(panels[0], study, variants)
    for axes, variant in zip(panels, variants, strict=True):
        _final_panel(axes, study, variant)
        if len(variants) > 1:
            axes.set_title(VARIANTS.get(variant, variant))
    names = {"training": "training", "test": study.test_name}
    handles = [
        of_kind(kind, LINES[split], split == "test").handle(f"{kind}, {names[split]}")
        for kind in KINDS
        for split in FINAL
    ]
    legend(figure, handles)
    how = HOW if shown.has_spread else "one run an arm"
    how = how if shown is study else f"arms without a change; {how}"
    title(figure, shown, "Error of the last iterate", how)
    return figure


def _final_panel(axes: Axes, study: Study, variant: str) -> None:
    chance(axes)
    depths = sorted({depth for kind in KINDS for depth in by_depth(study, kind, variant)})
    for kind, side in zip(KINDS, (-1, 1), strict=True):
        for split, metric in FINAL.items():
            apart = dodge(depths) ** (side * (1 if split == "test" else 2.4))
            found = samples(study, kind, metric, variant)
            look = of_kind(kind, LINES[split], split == "test")
            means(axes, found, look, dodge=apart, floor=_floor(axes))
    depth_axis(axes, depths)
    axes.margins(x=0.08)
    if depths:  # beside which the points of a single kind stand
        (low, high), (least, most) = axes.get_xlim(), depth_range(depths)
        axes.set_xlim(min(low, least), max(high, most))
    else:
        note(axes, "no run has ended")


ALL = {"curves": _error_curves, "final_error": _final_error} | {
    drawing.stem: drawing.draw for drawing in OWN
}
"""By the stems of their files; None for a study that did not measure what it shows."""
