"""The look of the figures: one colour and one marker a depth, one colour a kind, one line a split,
the same in every figure, on a light and on a dark background.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from degradation.analysis.curves import DIVERGED_ERROR_PCT, Study

LINES = {"training": (0, (4, 1.6)), "test": "solid"}
"""Of errors. What is no error of a split is solid."""
BEFORE = (0, (6, 1.5, 1, 1.5))
"""Where a line is of nets before training, or whole ones, beside another of the same colour."""
REFERENCE = (0, (1, 2))
"""Chance, floors, milestones: what no run has measured."""
MARKERS = {
    2: "h", 4: "p", 8: "<", 10: "*", 14: ">", 18: "o", 20: "o", 32: "s", 34: "s", 44: "^", 56: "D",
    110: "v", 1202: "P",
}  # fmt: skip
KIND_MARKERS = {"plain": "s", "residual": "o"}
VARIANTS = {
    "": "baseline",
    "activationprelu": "PReLU, a slope a channel",
    "activationprelu_shared": "PReLU, one slope a block",
    "orderpre": "pre-activation",
    "weight_decay0.0": "no weight decay",
    "batch_normfalse": "no batch norm",
    "batch_normfalse-initxavier": "no batch norm, Glorot's init",
    "scalingzero_to_one": "inputs in [0, 1]",
    "initfan_in": "He's initial weights",
    "initsmall": "small initial weights",
    "grown_from18": "begun as 18 layers' function",
    "iterations1020-milestones714": "1,020 iterations",
    "iterations3400-milestones2380": "3,400 iterations",
    "shortcutB": "shortcut B: projection\nwhere the size changes",
    "shortcutC": "shortcut C:\nprojection everywhere",
}
"""What an arm's overrides are called; others by themselves."""


@dataclass(frozen=True)
class Palette:
    """Colours for one background. A test holds all that carry a number to WCAG's 3 : 1."""

    background: str
    text: str
    muted: str
    """Notes within a figure."""
    line: str
    """Reference lines."""
    faint: str
    """Milestones, which lie behind the curves."""
    grid: str
    kinds: Mapping[str, str]
    depths: Mapping[int, str]
    """Stops of a scale over the logarithm of the depth, lighter with depth."""
    shallow: float
    """Grey of nets too shallow to degrade, of the shallowest."""


PALETTES = {
    "light": Palette(
        background="#ffffff",
        text="#333333",
        muted="#5f5f5f",
        line="#8a8a8a",
        faint="#c4c4c4",
        grid="#e6e6e6",
        # Okabe and Ito (2008), told apart with any colour vision
        kinds={"plain": "#d55e00", "residual": "#0072b2"},
        depths={18: "#3b0f6f", 34: "#3a4fa3", 56: "#1c7c8c", 110: "#4f9a2f", 1202: "#b58100"},
        shallow=0.56,
    ),
    "dark": Palette(
        background="#0d1117",
        text="#e6edf3",
        muted="#a3abb5",
        line="#7d8590",
        faint="#3d444d",
        grid="#262c36",
        kinds={"plain": "#ff8c42", "residual": "#56b4e9"},
        depths={18: "#8558dc", 34: "#5f8bee", 56: "#2fb3b8", 110: "#b5e655", 1202: "#ffe9a8"},
        shallow=0.82,
    ),
}
LIGHT, DARK = THEMES = tuple(PALETTES)
_theme = ContextVar("theme", default=LIGHT)


@dataclass(frozen=True)
class Drawing:
    """A figure of one experiment's own, and what the report says below it."""

    stem: str
    """Name of its files."""
    title: str
    caption: str
    draw: Callable[[Study], Figure | None]
    """None for a study that did not measure what it shows."""
    is_measured: bool = True
    """Whether it shows runs, so that data set, preset and n belong below it."""
    shows: Callable[[Study], Study] = lambda study: study
    """The part of the study that it shows."""


@contextlib.contextmanager
def themed(theme: str) -> Iterator[None]:
    """What is drawn and saved in this block has the theme's colours."""
    before = _theme.set(theme)
    try:
        with mpl.rc_context(_settings(palette())):
            yield
    finally:
        _theme.reset(before)


def _settings(of: Palette) -> dict[Any, Any]:
    return {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "text.color": of.text,
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": of.muted,
        "axes.labelcolor": of.text,
        "axes.facecolor": of.background,
        "axes.grid": True,
        "axes.axisbelow": True,
        "figure.facecolor": of.background,
        "grid.color": of.grid,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "legend.handlelength": 2.6,
        "svg.hashsalt": "degradation",
        "svg.fonttype": "path",
        "xtick.color": of.muted,
        "xtick.labelcolor": of.text,
        "ytick.color": of.muted,
        "ytick.labelcolor": of.text,
    }


def palette(theme: str = "") -> Palette:
    """Of the theme; without one, of that which is being drawn."""
    return PALETTES[theme or _theme.get()]


def colour(depth: int, theme: str = "") -> str:
    """`#rrggbb`: violet at 18 layers to green at 110 and yellow beyond, even steps for even factors
    in depth; grey for nets too shallow to degrade.
    """
    chosen = palette(theme)
    if depth < min(chosen.depths):
        return to_hex((chosen.shallow - 0.02 * depth,) * 3)
    for (low, dark), (high, light) in pairwise(chosen.depths.items()):
        if depth <= high:
            share = math.log(depth / low) / math.log(high / low)
            ends = zip(to_rgb(dark), to_rgb(light), strict=True)
            red, green, blue = (one + share * (other - one) for one, other in ends)
            return to_hex((red, green, blue))
    return chosen.depths[max(chosen.depths)]


def kind_colour(kind: str, theme: str = "") -> str:
    """`#rrggbb` of `plain` or `residual`."""
    return palette(theme).kinds[kind]


def kind_style(kind: str) -> tuple[str, str]:
    """Colour and marker of a kind."""
    return kind_colour(kind), KIND_MARKERS[kind]


def handle(tint: str, line: object, marker: str, label: str, filled: bool = True) -> Line2D:
    face = tint if filled else palette().background
    return Line2D(
        [], [], color=tint, linestyle=line, marker=marker, label=label, linewidth=1.7,  # type: ignore[arg-type]
        markerfacecolor=face, markeredgewidth=1.4, markersize=6,
    )  # fmt: skip


def chance(axes: Axes, labelled: bool = True) -> None:
    """The line at 90 %: ten classes, and what a diverged run counts as."""
    axes.axhline(DIVERGED_ERROR_PCT, color=palette().line, linewidth=1, linestyle=REFERENCE)
    if labelled:
        axes.text(0.01, DIVERGED_ERROR_PCT, "chance", color=palette().muted, fontsize=9, ha="left",
                  va="bottom", transform=axes.get_yaxis_transform())  # fmt: skip


def note(axes: Axes, text: str, y: float = 0.5) -> None:
    """In a panel that has nothing, or not all, to show; y: its middle, as a share of the height."""
    axes.text(0.5, y, text, color=palette().muted, ha="center", transform=axes.transAxes)


def title(figure: Figure, study: Study, what: str, how: str) -> None:
    figure.suptitle(f"{what} on {study.scope}\n{study.seeds_text}; {how}", fontsize=10)


def files(stem: str, *themes: str) -> list[str]:
    """The names of a figure's files in these themes, by default in all."""
    names = [stem if theme == LIGHT else f"{stem}.{theme}" for theme in themes or THEMES]
    return [f"{name}.{form}" for name in names for form in ("png", "svg")]


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """`curves.png` and `curves.svg`; of the dark theme `curves.dark.png` and `curves.dark.svg`."""
    png, svg = (folder / name for name in files(stem, _theme.get()))
    figure.savefig(png, dpi=200, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None})
    return [png, svg]
