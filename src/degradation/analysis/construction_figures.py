"""Figure of nets that begin as a shallower net's function (`model.grown_from`): where they begin,
where training takes them, and where it takes the same net from random weights.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import KINDS, Metric
from degradation.analysis.series import values_of
from degradation.analysis.statistics import CONFIDENCE, mean_interval
from degradation.analysis.style import (
    BEFORE,
    LINES,
    Drawing,
    handle,
    kind_style,
    palette,
    title,
)

START = Metric("probe/construction/shallow_eval_train_error_pct", is_first=True)
END = Metric("eval/train_error_pct")
GROWN = "grown_from"


def _construction(study: Study) -> Figure | None:
    """A panel a kind: clean training error against depth."""
    grown = [run for run in study.runs if run.overrides.startswith(GROWN)]
    if not any(run.value(START) is not None for run in grown):
        return None
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        _panel(axes, study, kind)
        axes.set_title(kind.capitalize())
    panels[0].set_ylabel("training error in %")
    figure.legend(
        handles=[
            *(handle(kind_style(kind)[0], LINES["training"], kind_style(kind)[1],
                     f"{kind},\nfrom random weights", False) for kind in KINDS),
            handle(palette().line, BEFORE, "", "the same function\nas the trained shallow net,\n"
                   "before any step"),
            handle(palette().text, LINES["training"], "D", "trained on from there"),
        ],
        loc="outside right center",
    )  # fmt: skip
    title(
        figure, study, "A solution by construction", f"mean and {100 * CONFIDENCE:.0f} % interval"
    )
    return figure


def _panel(axes: Axes, study: Study, kind: str) -> None:
    tint, marker = kind_style(kind)
    depths = sorted({run.depth for run in study.runs if run.kind == kind})
    arms = [_runs(study, kind, depth, grown=grown) for grown in (False, True) for depth in depths]
    scratch, grown = arms[: len(depths)], arms[len(depths) :]
    _line(axes, depths, scratch, END, color=tint, marker=marker, linestyle=LINES["training"],
          markerfacecolor=palette().background)  # fmt: skip
    _line(axes, depths, grown, START, color=palette().line, linestyle=BEFORE)
    _line(axes, depths, grown, END, color=palette().text, marker="D", linestyle=LINES["training"])
    axes.set_xscale("log")
    axes.set_xticks(depths, list(map(str, depths)))
    axes.minorticks_off()
    axes.margins(x=0.08)
    axes.set_xlabel("depth (weighted layers)")


def _runs(study: Study, kind: str, depth: int, *, grown: bool) -> list[RunCurves]:
    return [
        run
        for run in study.runs
        if (run.kind, run.depth) == (kind, depth)
        and run.has_ended
        and run.overrides.startswith(GROWN) == grown
        and (grown or not run.overrides)
    ]


def _line(
    axes: Axes, depths: Sequence[int], arms: Sequence[list[RunCurves]], metric: Metric, **look: Any
) -> None:
    """Means over seeds, each with its interval."""
    found = [values_of(runs, metric) for runs in arms]
    points = [(depth, values) for depth, values in zip(depths, found, strict=True) if values]
    for depth, values in points:
        if interval := mean_interval(values, CONFIDENCE):
            axes.vlines(depth, *interval, color=look["color"], linewidth=1.6)
    axes.plot([depth for depth, _ in points], [float(np.mean(values)) for _, values in points],
              linewidth=1.6, markersize=6.5, markeredgewidth=1.4, **look)  # fmt: skip


FIGURES = (
    Drawing(
        "construction",
        "Where nets begin that are a shallower net's function, and where training takes them",
        "Clean training error of the last iterate. Open: from random weights. Dash-dotted: a "
        "deeper net that is the same function as the trained shallow one, before any step of its "
        "own. Filled: trained on from there for as many steps again; at the shallow net's own "
        "depth that is the shallow net trained on, the control.",
        _construction,
    ),
)
