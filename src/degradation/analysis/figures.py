"""Figures from records alone, for print and for the colour-blind; redrawing gives the same bytes.

A depth has one shade of viridis and one marker in all figures; training is dashed and test solid,
as in the paper. Nothing rests on colour alone.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from degradation.analysis import (
    autoencoder_figures,
    chain_rule_figures,
    construction_figures,
    gradient_figures,
    identity_figures,
    lesion_figures,
    rate_figures,
    response_figures,
    shattering_figures,
    variant_figures,
)
from degradation.analysis.curves import DIVERGED_ERROR_PCT, RunCurves, Study
from degradation.analysis.estimands import ERRORS, KINDS, Metric
from degradation.analysis.statistics import mean_interval
from degradation.analysis.style import (
    KIND_STYLE,
    LINES,
    MARKERS,
    STYLE,
    VARIANTS,
    colour,
    handle,
    save,
    title,
)
from degradation.records import DIVERGED

CONFIDENCE = 0.95
TRAIN_CURVES = ("eval/train_subset_error_pct", "eval/train_error_pct", "train/error_pct")
TEST_CURVES = ("test/error_pct", "test/subset_error_pct")
FINAL = {"training": Metric("eval/train_error_pct"), "test": Metric("test/error_pct")}
LOG_BELOW_PCT = 5.0
"""A logarithmic error axis once a mean final error is below this: the curves span decades."""
FLOOR_PCT = 0.01
"""Where a logarithmic axis ends; lower errors are drawn here."""
MOST_PANELS = 4


OWN = (
    *autoencoder_figures.FIGURES,
    *gradient_figures.FIGURES,
    *chain_rule_figures.FIGURES,
    *construction_figures.FIGURES,
    *identity_figures.FIGURES,
    *lesion_figures.FIGURES,
    *rate_figures.FIGURES,
    *response_figures.FIGURES,
    *shattering_figures.FIGURES,
    *variant_figures.FIGURES,
)
"""Of single experiments: drawn for whichever study has what they show."""
STEMS = ("curves", "final_error", *(drawing.stem for drawing in OWN))


def draw(study: Study, folder: Path) -> list[Path]:
    """The figures as PNG and SVG; their paths. Nothing is drawn for what was not measured."""
    with mpl.rc_context(STYLE):
        drawn = []
        if any(run.curves.keys() & set(ERRORS) for run in study.runs):
            if "" in study.variants:
                drawn += save(_error_curves(study), folder / "curves")
            drawn += save(_final_error(study), folder / "final_error")
        for drawing in OWN:
            if figure := drawing.draw(study):
                drawn += save(figure, folder / drawing.stem)
        return drawn


def _arms(study: Study, kind: str, variant: str = "") -> dict[int, list[RunCurves]]:
    """Ended runs by depth, of the arms with these overrides."""
    depths = sorted({run.depth for run in study.runs if run.kind == kind})
    names = {depth: "-".join(filter(None, (kind, str(depth), variant))) for depth in depths}
    arms = {depth: study.ended(name) for depth, name in names.items()}
    return {depth: runs for depth, runs in arms.items() if runs}


def _values(runs: list[RunCurves], metric: Metric) -> list[float]:
    return [value for run in runs if (value := run.value(metric)) is not None]


def _error_curves(study: Study) -> Figure:
    """Two panels, plain and residual: mean over seeds, band from the best to the worst seed."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    keys = {"training": _densest(study, TRAIN_CURVES), "test": _densest(study, TEST_CURVES)}
    _error_axis(panels[0], study, [""])
    for axes, kind in zip(panels, KINDS, strict=True):
        for milestone in _milestones(study):
            axes.axvline(milestone, color="#c4c4c4", linewidth=0.9, linestyle=(0, (1, 2)))
        for index, (depth, runs) in enumerate(_arms(study, kind).items()):
            for split, key in keys.items():
                _mean_curve(
                    axes,
                    depth,
                    [run for run in runs if key in run.curves],
                    key,
                    split=split,
                    index=index,
                )
        _without_points(axes, _arms(study, kind), list(keys.values()))
        axes.set_title(kind.capitalize())
        axes.set_xlabel("iteration")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    label = "running, augmented" if keys["training"] == "train/error_pct" else "clean"
    depths = sorted({depth for kind in KINDS for depth in _arms(study, kind)})
    handles = [handle(colour(d), "solid", MARKERS.get(d, "X"), f"{d} layers") for d in depths]
    handles += [handle("#4a4a4a", LINES["training"], "", f"training ({label})")]
    handles += [handle("#4a4a4a", LINES["test"], "", "test")]
    figure.legend(handles=handles, loc="outside right center")
    title(figure, study, "Error curves", "mean over seeds, band from the best seed to the worst")
    return figure


def _without_points(axes: Axes, arms: dict[int, list[RunCurves]], keys: Sequence[str]) -> None:
    """Says so where an arm diverged before its first evaluation."""
    gone = [
        f"{depth} layers: {len(runs)} of {len(runs)} diverged"
        for depth, runs in arms.items()
        if all(run.status == DIVERGED and not run.curves.keys() & set(keys) for run in runs)
    ]
    if gone:
        axes.text(0.5, 0.5, "\n".join(gone), color="#5f5f5f", ha="center", transform=axes.transAxes)


def _mean_curve(
    axes: Axes, depth: int, runs: list[RunCurves], key: str, *, split: str, index: int
) -> None:
    if not runs:
        return
    grid = max((run.curves[key].iterations for run in runs), key=len)
    errors = np.array([_on_grid(run, key, grid) for run in runs])  # (seeds, points)
    errors = np.maximum(errors, _floor(axes))
    every = max(1, len(grid) // 6)
    axes.plot(
        grid, errors.mean(axis=0), color=colour(depth), linestyle=LINES[split],
        linewidth=1.9 if split == "test" else 1.5,
        marker=MARKERS.get(depth, "X"), markersize=5, markeredgewidth=1.2,
        markerfacecolor=colour(depth) if split == "test" else "white",
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


def _on_grid(run: RunCurves, key: str, grid: list[int]) -> NDArray[np.float64]:
    """A run's curve on a common grid; a diverged run goes on at 90 %."""
    curve = run.curves[key]
    after = DIVERGED_ERROR_PCT if run.status == DIVERGED else curve.values[-1]
    return np.interp(grid, curve.iterations, curve.values, right=after)


def _densest(study: Study, keys: tuple[str, ...]) -> str:
    """The measurement with the most points, since one evaluation at the end makes no curve."""
    longest = {
        key: max(
            (len(run.curves[key].values) for run in study.runs if key in run.curves), default=0
        )
        for key in keys
    }
    clean = [key for key in keys if key != "train/error_pct"]
    several = [key for key in clean if longest[key] > 1]
    return max(several or keys, key=lambda key: longest[key])


def _milestones(study: Study) -> list[int]:
    """Where the learning rate drops, if all runs agree on it."""
    found = {tuple(run.config.get("schedule", {}).get("milestones", ())) for run in study.runs}
    return list(found.pop()) if len(found) == 1 else []


def _error_axis(axes: Axes, study: Study, variants: Sequence[str]) -> None:
    finals = [
        float(np.mean(values))
        for variant in variants
        for kind in KINDS
        for runs in _arms(study, kind, variant).values()
        for metric in FINAL.values()
        if (values := _values(runs, metric))
    ]
    axes.set_ylabel("error in %")
    if finals and min(finals) < LOG_BELOW_PCT:
        axes.set_yscale("log")
        axes.set_ylim(max(FLOOR_PCT, 0.7 * min(finals)), 130)
        axes.yaxis.set_major_locator(FixedLocator([0.01, 0.1, 1, 2, 5, 10, 20, 50, 100]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
    else:
        lowest = min(finals, default=0.0)
        axes.set_ylim(max(0.0, 10 * math.floor((lowest - 5) / 10)), 95)


def _floor(axes: Axes) -> float:
    return FLOOR_PCT if axes.get_yscale() == "log" else 0.0


def _final_error(study: Study) -> Figure:
    """Error of the last iterate against depth, each seed a dot, with Student's intervals; a panel
    a variant, where there are few.
    """
    variants = study.variants if len(study.variants) <= MOST_PANELS else [""]
    width = 2.4 + 4.4 * len(variants) if len(variants) == 1 else 2 + 3.4 * len(variants)
    figure = Figure(figsize=(width, 4.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(variants), sharey=True))
    _error_axis(panels[0], study, variants)
    for axes, variant in zip(panels, variants, strict=True):
        _final_panel(axes, study, variant)
        if len(variants) > 1:
            axes.set_title(VARIANTS.get(variant, variant))
    styles = [(kind, split, KIND_STYLE[kind]) for kind in KINDS for split in FINAL]
    handles = [
        handle(tint, LINES[split], marker, f"{kind}, {split}", split == "test")
        for kind, split, (tint, marker) in styles
    ]
    figure.legend(handles=handles, loc="outside right center")
    title(figure, study, "Error of the last iterate", f"mean and {CONFIDENCE:.0%} interval")
    return figure


def _final_panel(axes: Axes, study: Study, variant: str) -> None:
    axes.axhline(DIVERGED_ERROR_PCT, color="#8a8a8a", linewidth=1, linestyle=(0, (1, 2)))
    for kind, side in zip(KINDS, (-1, 1), strict=True):
        for split, metric in FINAL.items():
            dodge = 1.022 ** (side * (1 if split == "test" else 2.4))
            _final_line(axes, _arms(study, kind, variant), kind, split, metric=metric, dodge=dodge)
    depths = sorted({depth for kind in KINDS for depth in _arms(study, kind, variant)})
    axes.set_xscale("log")
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(FixedLocator(depths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("depth (weighted layers)")
    axes.text(0.01, DIVERGED_ERROR_PCT, "chance", color="#5f5f5f", fontsize=9,
              ha="left", va="bottom", transform=axes.get_yaxis_transform())  # fmt: skip


def _final_line(
    axes: Axes,
    arms: dict[int, list[RunCurves]],
    kind: str,
    split: str,
    *,
    metric: Metric,
    dodge: float,
) -> None:
    tint, marker = KIND_STYLE[kind]
    points = []
    for depth, runs in arms.items():
        values = _values(runs, metric)
        if not values:
            continue
        points.append((depth * dodge, max(float(np.mean(values)), _floor(axes))))
        shown = np.maximum(values, _floor(axes))
        axes.plot([depth * dodge] * len(values), shown, ".", color=tint, alpha=0.35, markersize=5)
        if interval := mean_interval(values, CONFIDENCE):
            axes.vlines(
                depth * dodge, *np.maximum(interval, _floor(axes)), color=tint, linewidth=1.6
            )
    axes.plot(
        [x for x, _ in points], [y for _, y in points], color=tint, linestyle=LINES[split],
        marker=marker, markersize=6.5, linewidth=1.6,
        markerfacecolor=tint if split == "test" else "white", markeredgewidth=1.4,
    )  # fmt: skip
