"""Figure of nets that begin as a shallower net's function (`model.grown_from`): where they begin,
where training takes them, and where it takes the same net from random weights.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from degradation.analysis.curves import Study
from degradation.analysis.estimands import KINDS, Metric
from degradation.analysis.marks import HOW, Look, depth_axis, legend, means, of_kind
from degradation.analysis.series import samples
from degradation.analysis.style import BEFORE, LINES, Drawing, palette, title

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
    same = "the same function\nas the trained shallow net,\nbefore any step"
    from_random = [_scratch(kind).handle(f"{kind},\nfrom random weights") for kind in KINDS]
    legend(figure, [*from_random, _same().handle(same), _on().handle("trained on from there")])
    title(figure, study, "A solution by construction", HOW)
    return figure


def _panel(axes: Axes, study: Study, kind: str) -> None:
    grown = next(name for name in study.variants if name.startswith(GROWN))
    for metric, variant, look in (
        (END, "", _scratch(kind)),
        (START, grown, _same()),
        (END, grown, _on()),
    ):
        means(axes, samples(study, kind, metric, variant), look, dots=False)
    depth_axis(axes, (run.depth for run in study.runs if run.kind == kind))
    axes.margins(x=0.08)


def _scratch(kind: str) -> Look:
    return of_kind(kind, LINES["training"], False)


def _same() -> Look:
    return Look(palette().line, line=BEFORE)


def _on() -> Look:
    return Look(palette().text, "D", LINES["training"])


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
