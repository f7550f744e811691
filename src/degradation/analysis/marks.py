"""What the figures have in common: means over runs, axes with ticks at a few places, legends."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from degradation.analysis.curves import Study
from degradation.analysis.estimands import KINDS, Metric
from degradation.analysis.series import by_depth, samples
from degradation.analysis.statistics import CONFIDENCE, mean_interval
from degradation.analysis.style import BEFORE, MARKERS, colour, handle, kind_style, palette

HOW = f"mean and {100 * CONFIDENCE:.0f} % interval"
"""What `means` draws, for a figure's title."""


@dataclass(frozen=True)
class Look:
    """Of a line and of its entry in the legend."""

    colour: str
    marker: str = ""
    line: object = "solid"
    filled: bool = True

    def handle(self, label: str) -> Line2D:
        return handle(self.colour, self.line, self.marker, label, self.filled)


def of_kind(kind: str, line: object = "solid", filled: bool = True) -> Look:
    return Look(*kind_style(kind), line, filled)


def of_depth(depth: int, line: object = "solid") -> Look:
    return Look(colour(depth), MARKERS.get(depth, "X"), line)


def means(
    axes: Axes,
    found: Mapping[int, Sequence[float]] | Mapping[float, Sequence[float]],
    look: Look,
    *,
    dodge: float = 1.0,
    dots: bool = True,
    intervals: bool = True,
    floor: float = -math.inf,
    of: Mapping[int, int] | None = None,
) -> None:
    """A line through the means of `found`, one value a run at each place of the axis.

    dodge: a factor on the places, so that lines of the same places do not hide one another. dots:
    each run's value. intervals: Student's. floor: lower values are drawn there. of: how many runs
    there are; where fewer have a value their number stands beside the mean.
    """
    for place, values in found.items():
        x = place * dodge
        if dots:
            shown = np.maximum(values, floor)
            axes.plot([x] * len(values), shown, ".", color=look.colour, alpha=0.35, markersize=5)
        if intervals and (span := mean_interval(values, CONFIDENCE)):
            axes.vlines(x, *np.maximum(span, floor), color=look.colour, linewidth=1.6)
        if of and len(values) < of[int(place)]:
            axes.annotate(
                str(len(values)), (x, float(np.mean(values))), (6, 5), color=look.colour,
                textcoords="offset points", fontsize=8, zorder=5,
                bbox={"facecolor": palette().background, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
    axes.plot(
        [place * dodge for place in found],
        [max(float(np.mean(values)), floor) for values in found.values()],
        color=look.colour, linestyle=look.line, marker=look.marker, linewidth=1.6, markersize=6,
        markerfacecolor=look.colour if look.filled else palette().background, markeredgewidth=1.4,
    )  # fmt: skip


LESS = (
    "A run that diverged, or whose gradient is zero in float32, has no last record; a number "
    "beside a point says of how many runs it is where that is not all."
)
"""Of probes of gradients, for a figure's caption."""
TIMES = {"before the first step": True, "last record": False}
"""Whether it is a run's first number that a line is of."""


def _at(kind: str, is_first: bool) -> Look:
    return of_kind(kind, BEFORE if is_first else "solid", not is_first)


def before_and_after(axes: Axes, study: Study, name: str, variant: str) -> None:
    """Of what a probe measured, against depth, by kind."""
    for kind, is_first in product(KINDS, TIMES.values()):
        found = samples(study, kind, Metric(name, is_first=is_first), variant)
        of = {depth: len(runs) for depth, runs in by_depth(study, kind, variant).items()}
        apart = 1.03 ** (-0.5 if is_first else 0.5)
        means(axes, found, _at(kind, is_first), dodge=apart, of=of)


def before_and_after_handles() -> list[Line2D]:
    return [
        _at(kind, is_first).handle(f"{kind}, {when}")
        for kind, (when, is_first) in product(KINDS, TIMES.items())
    ]


def ticks_at(axis: Axis, places: Sequence[float], form: str = "{x:.0f}") -> None:
    """There alone."""
    axis.set_major_locator(FixedLocator(places))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(form)


def depth_axis(axes: Axes, depths: Iterable[int]) -> None:
    axes.set_xscale("log")
    ticks_at(axes.xaxis, sorted(set(depths)))
    axes.set_xlabel("depth (weighted layers)")


def powers_of_ten(axis: Axis) -> None:
    """The ticks of an axis of decimal logarithms."""
    axis.set_major_formatter(lambda value, _: f"$10^{{{value:g}}}$")


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    figure.legend(handles=handles, loc="outside right center")


def depth_handles(depths: Iterable[int], line: object = "solid") -> list[Line2D]:
    return [of_depth(depth, line).handle(f"{depth} layers") for depth in sorted(set(depths))]
