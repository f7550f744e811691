"""Figures from records alone, for print and for the colour-blind; redrawing gives the same bytes.

A depth has one colour and one marker in all figures; errors of training are dashed and those of the
test solid, as in the paper. Nothing rests on colour alone. Each is drawn for light pages and for
dark ones.
"""

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
from degradation.analysis.curves import Study
from degradation.analysis.error_curves import error_curves, floor_of, has_errors, set_error_axis
from degradation.analysis.estimands import KINDS
from degradation.analysis.marks import (
    HOW,
    depth_axis,
    legend,
    means,
    of_kind,
)
from degradation.analysis.series import (
    FINAL,
    by_depth,
    depth_range,
    dodge,
    samples,
    shown_at_the_end,
)
from degradation.analysis.style import (
    LIGHT,
    LINES,
    THEMES,
    VARIANTS,
    chance,
    note,
    save,
    themed,
    title,
)

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


def _final_error(study: Study) -> Figure | None:
    """Error of the last iterate against depth, each seed a dot, with Student's intervals; a panel
    a variant, where there are few.
    """
    if not has_errors(study):
        return None
    shown = shown_at_the_end(study)
    variants = shown.variants or [""]
    width = 2.4 + 4.4 * len(variants) if len(variants) == 1 else 2 + 3.4 * len(variants)
    figure = Figure(figsize=(width, 4.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(variants), sharey=True))
    set_error_axis(panels[0], study, variants)
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
            means(axes, found, look, dodge=apart, floor=floor_of(axes))
    depth_axis(axes, depths)
    axes.margins(x=0.08)
    if depths:  # beside which the points of a single kind stand
        (low, high), (least, most) = axes.get_xlim(), depth_range(depths)
        axes.set_xlim(min(low, least), max(high, most))
    else:
        note(axes, "no run has ended")


ALL = {"curves": error_curves, "final_error": _final_error} | {
    drawing.stem: drawing.draw for drawing in OWN
}
"""By the stems of their files; None for a study that did not measure what it shows."""
