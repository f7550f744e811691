"""The look of the figures: one shade and one marker a depth, the same in every figure."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from degradation.analysis.curves import Study

LINES = {"training": (0, (4, 1.6)), "test": "solid"}
MARKERS = {
    8: "<", 14: ">", 18: "o", 20: "o", 32: "s", 34: "s", 44: "^", 56: "D", 110: "v", 1202: "P",
}  # fmt: skip
# Colours: Okabe and Ito (2008), told apart with any colour vision.
KIND_STYLE = {"plain": ("#D55E00", "s"), "residual": ("#0072B2", "o")}
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
    "shortcutB": "shortcut B: projection\nwhere the size changes",
    "shortcutC": "shortcut C:\nprojection everywhere",
}
"""What an arm's overrides are called; others by themselves."""
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#4a4a4a",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "svg.hashsalt": "degradation",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Drawing:
    """A figure of one experiment's own, and what the report says below it."""

    stem: str
    """Name of its files."""
    title: str
    caption: str
    draw: Callable[[Study], Figure | None]
    """None for a study that did not measure what it shows."""


def colour(depth: int) -> tuple[float, float, float, float]:
    """From dark at 18 layers to light green at 110, even steps for even factors in depth; grey for
    nets too shallow to degrade.
    """
    if depth < 18:
        grey = 0.72 - 0.025 * depth
        return grey, grey, grey, 1.0
    share = math.log(depth / 18) / math.log(110 / 18)
    red, green, blue, alpha = mpl.colormaps["viridis"](0.82 * min(max(share, 0.0), 1.1))
    return red, green, blue, alpha


def handle(tint: object, line: object, marker: str, label: str, filled: bool = True) -> Line2D:
    face = tint if filled else "white"
    return Line2D(
        [], [], color=tint, linestyle=line, marker=marker, label=label, linewidth=1.7,  # type: ignore[arg-type]
        markerfacecolor=face, markeredgewidth=1.4, markersize=6,  # type: ignore[arg-type]
    )  # fmt: skip


def title(figure: Figure, study: Study, what: str, how: str) -> None:
    preset = f", preset {study.preset}" if study.preset else ""
    head = f"{what} on {study.data_title}{preset}"
    figure.suptitle(f"{head}\n{study.seeds_text}; {how}", fontsize=10, color="#333333")


def save(figure: Figure, stem: Path) -> list[Path]:
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    figure.savefig(png, dpi=200, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None})
    return [png, svg]
