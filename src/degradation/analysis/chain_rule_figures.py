"""The chain rule's toy: what depth makes of a gradient, without and with shortcuts.

Through L scalar layers x -> a x the gradient is the product of the a_i; through x -> x + a x it is
the product of the (1 + a_i). Not a sum, as is often said: that is the first order of the product,
good for as long as the sum of the a_i is small.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from degradation.analysis.curves import Study
from degradation.analysis.marks import legend, powers_of_ten
from degradation.analysis.style import (
    REFERENCE,
    Drawing,
    handle,
    kind_colour,
    palette,
)

DEPTH, DRAWS = 110, 1000
CASES = {
    "a = 0.5": "plain vanishes, residual explodes",
    "a = 1.5": "both explode",
    "a = -0.5": "both vanish",
    "a = 0.3 or -0.3 by chance": "plain vanishes, residual nearly does not",
}


def factors(case: str) -> NDArray[np.float64]:
    """(draws, DEPTH): the layers' a_i."""
    first = float(case.split()[2])
    if "chance" not in case:
        return np.full((1, DEPTH), first)
    signs = np.random.Generator(np.random.PCG64(0)).choice([-1.0, 1.0], (DRAWS, DEPTH))
    return first * signs


def log10_gradients(a: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Decimal logarithms of |product of a|, |product of (1 + a)| and |1 + sum of a| after each
    layer, (DEPTH,): the median over draws.
    """
    values = {
        "plain": np.cumsum(np.log10(np.abs(a)), axis=1),
        "residual": np.cumsum(np.log10(np.abs(1 + a)), axis=1),
    }
    with np.errstate(divide="ignore"):
        values["sum"] = np.log10(np.abs(1 + np.cumsum(a, axis=1)))
    return {name: np.median(value, axis=0) for name, value in values.items()}


def _chain_rule(study: Study) -> Figure | None:
    if not any("probe/gradients/first_to_last_output" in run.curves for run in study.runs):
        return None
    figure = Figure(figsize=(11.5, 3.6), layout="constrained")
    depths = np.arange(1, DEPTH + 1)
    for axes, (case, what) in zip(figure.subplots(1, len(CASES)), CASES.items(), strict=True):
        for name, values in log10_gradients(factors(case)).items():
            tint = palette().line if name == "sum" else kind_colour(name)
            axes.plot(depths, values, color=tint, linewidth=3.6 if name == "plain" else 1.6,
                      linestyle=REFERENCE if name == "sum" else "solid")  # fmt: skip
        axes.set_title(f"{case}\n", fontsize=10)
        axes.text(0.5, 1.02, what, transform=axes.transAxes, ha="center",
                  fontsize=8.5, color=palette().muted)  # fmt: skip
        axes.set_xlabel("layers")
        powers_of_ten(axes.yaxis)
    figure.axes[0].set_ylabel("gradient at the input")
    handles = [
        handle(kind_colour("plain"), "solid", "", "product of a"),
        handle(kind_colour("residual"), "solid", "", "product of (1 + a)"),
        handle(palette().line, REFERENCE, "", "1 + sum of a"),
    ]
    legend(figure, handles)
    return figure


FIGURES = (
    Drawing(
        "chain_rule",
        "Products of a and of 1 + a over the layers",
        "The chain rule's toy, no measurement: the gradient through scalar layers x -> a x (the "
        "product of the a) and x -> x + a x (the product of the 1 + a). The shortcut's 1 does not "
        "keep it from vanishing or exploding by itself; it does where the a are small. It is not "
        "1 + the sum of the a (dotted), as is often said; the sum in He et al. 2016, Eq. 5, is of "
        "functions of one another, and exact. By chance: the median of 1,000 draws.",
        _chain_rule,
        is_measured=False,
    ),
)
