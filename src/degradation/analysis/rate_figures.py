"""Figure of lr_choice: the error on the images held out against the learning rate."""

from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradation.analysis import rates
from degradation.analysis.curves import Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import depth_handles, legend, means, of_depth, ticks_at
from degradation.analysis.style import Drawing, chance, colour, title


def _error_by_rate(study: Study) -> Figure | None:
    """Two panels, plain and residual, a line a depth; the chosen rate in a ring."""
    arms = rates.by_rate(study)
    found = sorted({rate for by_rate in arms.values() for rate in by_rate})
    if len(found) < 2:
        return None
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, len(KINDS), sharex=True, sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        chance(axes, labelled=axes is panels[-1])
        depths = [depth for of, depth in arms if of == kind]
        for place, depth in enumerate(depths):
            _line(axes, depth, arms[kind, depth], 1.035 ** (place - (len(depths) - 1) / 2))
        axes.set_title(kind.capitalize())
        axes.set_xscale("log")
        ticks_at(axes.xaxis, found, "{x:g}")
        axes.set_xlabel("learning rate")
    panels[0].set_ylabel("error on the images held out, in %")
    legend(figure, depth_handles(depth for _, depth in arms))
    title(figure, study, "Learning rates", "mean over seeds, each seed a dot; in a ring the best")
    return figure


def _line(axes: Axes, depth: int, by_rate: rates.Rates, dodge: float) -> None:
    errors = {rate: rates.errors_pct(runs) for rate, runs in by_rate.items()}
    means(axes, errors, of_depth(depth), dodge=dodge, intervals=False)
    chosen = rates.best(by_rate)
    axes.plot(
        [chosen * dodge], [fmean(errors[chosen])], "o", color=colour(depth), markersize=13,
        markerfacecolor="none", markeredgewidth=1.6,
    )  # fmt: skip


FIGURES = (
    Drawing(
        "rates",
        "Error on the images held out against the learning rate",
        "Error of the last iterate on the 5,000 training images held out, against the learning "
        "rate: mean over seeds, each seed a dot, a diverged run as 90 %. In a ring the rate that "
        "the arm gets in `lr_fair`: the least mean, of equal ones the lower.",
        _error_by_rate,
    ),
)
