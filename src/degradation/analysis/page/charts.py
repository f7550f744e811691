"""The interactive charts as Plotly's plain JSON: each mean over seeds that they show, and which of
the page's switches shows it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from degradation.analysis import style
from degradation.analysis.curves import DIVERGED_ERROR_PCT, RunCurves, Study
from degradation.analysis.estimands import ERRORS, KINDS
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
    longest_grid,
    lost_at,
    milestones,
    on_grid,
    values_of,
    with_curve,
)
from degradation.analysis.statistics import CONFIDENCE, mean_interval
from degradation.records import DIVERGED

SPLITS = ("training", "test")
DASHES = {"training": "6px,3px", "test": "solid"}
SYMBOLS = {
    "o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "D": "diamond",
    "P": "cross", "h": "hexagon", "p": "pentagon", "<": "triangle-left", ">": "triangle-right",
    "*": "star", "X": "x",
}  # fmt: skip
"""Plotly's names of matplotlib's markers."""

Trace = dict[str, Any]
"""Plotly's; `meta` says which arm, split and variant it is of and its colour on either ground."""


@dataclass(frozen=True)
class Key:
    """An entry of a legend, which is a switch."""

    arm: str
    label: str
    variant: str
    colours: dict[str, str]
    note: str
    """How many diverged, or that there is one run; empty otherwise."""


@dataclass(frozen=True)
class Charts:
    """All that the page's script draws."""

    panels: dict[str, list[Trace]]
    """Error curves of each kind of net."""
    final: list[Trace]
    keys: dict[str, list[Key]]
    """Of each kind."""
    variants: dict[str, str]
    """The arms' overrides and what they are called, the ones shown first before the others."""
    layout: dict[str, Any]
    """What all charts share: ranges, milestones, depths."""
    error_names: dict[str, str]
    """Of the curves, by split: `training` is the clean error, else it says what it is."""

    def drawn(self) -> dict[str, Any]:
        """For the script."""
        return {"panels": self.panels, "final": self.final, "layout": self.layout}


def colours(depth: int) -> dict[str, str]:
    """A depth's colour in all figures, on a light and on a dark ground."""
    return {theme: style.colour(depth, theme) for theme in style.THEMES}


def kind_colours(kind: str) -> dict[str, str]:
    """Of the final errors, where depth is the axis."""
    return {theme: style.kind_colour(kind, theme) for theme in style.THEMES}


def charts(study: Study) -> Charts | None:
    """None for a study that measured no errors."""
    if not any(run.curves.keys() & set(ERRORS) for run in study.runs):
        return None
    keys = {"training": densest(study.runs, TRAIN_CURVES), "test": densest(study.runs, TEST_CURVES)}
    names = {"training": "training", "test": study.test_name}
    ended = {arm: runs for arm in study.arms if (runs := study.ended(arm))}
    panels: dict[str, list[Trace]] = {kind: [] for kind in KINDS}
    legend: dict[str, list[Key]] = {kind: [] for kind in KINDS}
    for arm, runs in ended.items():
        found = [
            trace
            for split, key in keys.items()
            for trace in _curve(arm, runs, split, key, f"{runs[0].depth} layers, {names[split]}")
        ]
        panels[runs[0].kind] += found
        legend[runs[0].kind].append(_key(arm, runs, bool(found)))
    shown = {runs[0].overrides for runs in ended.values()}
    variants = [name for name in study.variants if name in shown]
    return Charts(
        panels,
        _final(study, variants, names),
        legend,
        {name: " ".join(style.VARIANTS.get(name, name).split()) for name in variants},
        _layout(study, list(ended.values())),
        {
            "training": "running training" if keys["training"] == RUNNING else "training",
            "test": study.test_name,
        },
    )


def _key(arm: str, runs: list[RunCurves], is_drawn: bool) -> Key:
    run, count = runs[0], sum(run.status == DIVERGED for run in runs)
    notes = [f"{count} of {len(runs)} diverged"] if count else []
    notes += [] if is_drawn else ["no point before that" if count else "no curve"]
    notes += ["one run"] if len(runs) == 1 else []
    return Key(arm, f"{run.depth} layers", run.overrides, colours(run.depth), ", ".join(notes))


def _curve(arm: str, runs: list[RunCurves], split: str, key: str, name: str) -> list[Trace]:
    """Mean over seeds and, with several, a band from the best to the worst."""
    if not (measured := with_curve(runs, key)):
        return []
    grid = longest_grid(measured, key)
    errors = np.array([on_grid(run, key, grid) for run in measured])  # (seeds, points)
    low, high, mean = errors.min(axis=0), errors.max(axis=0), errors.mean(axis=0)
    meta = {**_meta(runs[0], arm, split), "n": len(measured)}
    meta["lost_at"] = lost_at(measured, key)
    is_alone = len(measured) == 1
    span = "" if is_alone else " (%{customdata[1]:.2f} to %{customdata[2]:.2f})"
    line: Trace = {
        "type": "scatter", "mode": "lines+markers", "name": name, "meta": meta,
        "x": grid, "y": mean.tolist(),
        "customdata": np.column_stack([mean, low, high]).tolist(),
        "hovertemplate": f"{name} <b>%{{customdata[0]:.2f}} %</b>{span}<extra></extra>",
        "line": {"dash": DASHES[split], "width": 2},
        "marker": {"symbol": _symbol(runs[0].depth, split), "size": 7, "maxdisplayed": 8},
    }  # fmt: skip
    if is_alone:
        return [line]
    band: Trace = {
        "type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip",
        "name": name, "meta": {**meta, "band": True}, "line": {"width": 0},
        "x": [*grid, *reversed(grid)], "y": [*high.tolist(), *reversed(low.tolist())],
    }  # fmt: skip
    return [band, line]


def _meta(run: RunCurves, arm: str, split: str) -> dict[str, Any]:
    tints = colours(run.depth)
    return {"arm": arm, "split": split, "variant": run.overrides, "colours": tints}


def _symbol(depth: int, split: str) -> str:
    """Hollow for training, as in the figures."""
    name = SYMBOLS[style.MARKERS.get(depth, "X")]
    return name if split == "test" else f"{name}-open"


def _final(study: Study, variants: Sequence[str], names: Mapping[str, str]) -> list[Trace]:
    """Last iterate against depth: a line a kind, split and variant, and each seed a dot."""
    apart, traces = dodge(sorted({run.depth for run in study.runs if run.has_ended})), []
    for variant, kind in product(variants, KINDS):
        if arms := list(by_depth(study, kind, variant).values()):
            for split, name in names.items():
                traces += _final_line(arms, kind, split, f"{kind}, {name}", apart)
    return traces


def _final_line(
    arms: list[list[RunCurves]], kind: str, split: str, name: str, apart: float
) -> list[Trace]:
    errors = {runs[0].depth: values for runs in arms if (values := values_of(runs, FINAL[split]))}
    side = (1 if split == "test" else 2.4) * (-1 if kind == "plain" else 1)
    dodged = {depth: depth * apart**side for depth in errors}
    meta = {**_meta(arms[0][0], kind, split), "colours": kind_colours(kind)}
    dots: Trace = {
        "type": "scatter", "mode": "markers", "name": name, "meta": {**meta, "dots": True},
        "x": [dodged[depth] for depth, values in errors.items() for _ in values],
        "y": (found := [value for values in errors.values() for value in values]),
        "customdata": found, "hovertemplate": "one seed: %{customdata:.2f} %<extra></extra>",
        "marker": {"symbol": "circle", "size": 5},
    }  # fmt: skip
    spans = [mean_interval(values, CONFIDENCE) for values in errors.values()]
    symbol = SYMBOLS[style.KIND_MARKERS[kind]]
    line: Trace = {
        "type": "scatter", "mode": "lines+markers", "name": name, "meta": meta,
        "x": list(dodged.values()), "y": [float(np.mean(values)) for values in errors.values()],
        "customdata": [[depth, len(values)] for depth, values in errors.items()],
        "text": [_final_text(name, depth, values) for depth, values in errors.items()],
        "hovertemplate": "%{text}<extra></extra>",
        "error_y": {
            "type": "data", "width": 0, "thickness": 1.6,
            "array": [(span[1] - span[0]) / 2 if span else 0.0 for span in spans],
        },
        "line": {"dash": DASHES[split], "width": 2},
        "marker": {"symbol": symbol if split == "test" else f"{symbol}-open", "size": 9},
    }  # fmt: skip
    return [dots, line] if errors else []


def _final_text(name: str, depth: int, values: Sequence[float]) -> str:
    span = mean_interval(values, CONFIDENCE)
    interval = f" ({span[0]:.2f} to {span[1]:.2f})" if span else ""
    return f"{name}, {depth} layers<br><b>{np.mean(values):.2f} %</b>{interval}, n = {len(values)}"


def _layout(study: Study, arms: Sequence[list[RunCurves]]) -> dict[str, Any]:
    begins, depths = error_axis(arms), sorted({runs[0].depth for runs in arms})
    return {
        "ranges": {"linear": [begins.linear, 95.0], "log": [math.log10(begins.log), 2.0]},
        "scale": "log" if begins.is_log else "linear",
        "iterations": max(run.iterations for runs in arms for run in runs),
        "floor": FLOOR_PCT,
        "milestones": milestones(study),
        "depths": depths,
        "depth_range": [math.log10(end) for end in depth_range(depths)],
        "chance": DIVERGED_ERROR_PCT,
    }
