"""Figure of the rise of the error with depth while it forms: error against depth, moment by moment
of training.
"""

import numpy as np
from matplotlib.figure import Figure

from degradation.analysis.curves import DIVERGED_ERROR_PCT, RunCurves, Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import depth_axis, legend, means, of_kind
from degradation.analysis.series import CLEAN_CURVES, by_depth, densest, on_grid
from degradation.analysis.style import LINES, Drawing, chance, title
from degradation.records import FINISHED

MOMENTS = 5
FEWEST_DEPTHS = 3
"""Two ends make no line that rises."""


def _forming(study: Study) -> Figure | None:
    """A panel a moment, in it clean training error against depth, plain and residual; of a study of
    these arms alone, since where something else is changed they are not what it shows.
    """
    key = densest(study.runs, CLEAN_CURVES)
    arms = {kind: by_depth(study, kind) for kind in KINDS}
    moments = _moments(study, key)
    fewest = min(map(len, arms.values()))
    if study.variants != [""] or fewest < FEWEST_DEPTHS or len(moments) < MOMENTS:
        return None
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    panels = figure.subplots(1, len(moments), sharex=True, sharey=True)
    for axes, moment in zip(panels, moments, strict=True):
        chance(axes, labelled=axes is panels[0])
        for kind in KINDS:
            found = {
                d: [_error_pct(run, key, moment) for run in of] for d, of in arms[kind].items()
            }
            means(axes, found, of_kind(kind, LINES["training"], False), intervals=False)
        axes.set_title(f"iteration {moment:,}", fontsize=11)
        depth_axis(axes, (depth for of in arms.values() for depth in of))
        axes.set_xlabel("")
        axes.margins(x=0.12)
    panels[0].set_ylabel("training error in %")
    figure.supxlabel("depth (weighted layers)", fontsize=10)
    legend(figure, [of_kind(kind, LINES["training"], False).handle(kind) for kind in KINDS])
    how = "mean over seeds, each seed a dot"
    title(figure, study.without_variants(), "The rise with depth as it forms", how)
    return figure


def _moments(study: Study, key: str) -> list[int]:
    """Of those at which every run that did not diverge was measured, evenly spread ones."""
    grids = [
        set(run.curves[key].iterations) if key in run.curves else set()
        for run in study.runs
        if run.status == FINISHED
    ]
    common = sorted(set.intersection(*grids) - {0}) if grids else []
    if not common:
        return []
    wanted = np.linspace(common[0], common[-1], MOMENTS)
    return list(dict.fromkeys(min(common, key=lambda i: abs(i - at)) for at in wanted))


def _error_pct(run: RunCurves, key: str, moment: int) -> float:
    if key not in run.curves:  # it has diverged before it was measured
        return DIVERGED_ERROR_PCT
    return float(on_grid(run, key, [moment])[0])


FIGURES = (
    Drawing(
        "forming",
        "Training error against depth at five moments of training",
        "The rise with depth as it forms: clean training error at five moments of training, on the "
        "images of the curves; mean over seeds, each seed a dot; a diverged run goes on at 90 %.",
        _forming,
        shows=Study.without_variants,
    ),
)
