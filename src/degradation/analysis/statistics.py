"""Statistics over seeds: Welch's test for sums of arms, Holm's correction, an exact permutation
test.

With three to five seeds an arm a percentile bootstrap covers 78 to 85 % where it promises 95;
Student's t with the Welch-Satterthwaite degrees of freedom holds its level for anything near
normal. Where an arm can end in several modes it is not near normal, and the permutation test stands
beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

CONFIDENCE = 0.95
"""Of the intervals that are shown; those of claims have their study's level."""
MIN_SEEDS_PERMUTATION = 5
"""Seeds an arm from which the smallest p, 1/252, is below the usual levels; with 4 it is 1/70, with
3 1/20.
"""
MAX_RELABELLINGS = 200_000
"""10 against 10 seeds; beyond, the exact test costs more than it tells."""


@dataclass(frozen=True)
class Welch:
    """The sum of independent arms' means."""

    estimate: float
    se: float
    """Standard error."""
    df: float
    """Welch-Satterthwaite degrees of freedom; nan where no arm varies."""

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided."""
        half = float(special.stdtrit(self.df, (1 + confidence) / 2)) * self.se
        return self.estimate - half, self.estimate + half

    def p_above(self, margin: float) -> float:
        """One-sided p of the null hypothesis `sum <= margin`."""
        return float(special.stdtr(self.df, -(self.estimate - margin) / self.se))

    def p_below(self, margin: float) -> float:
        """One-sided p of the null hypothesis `sum >= margin`."""
        return float(special.stdtr(self.df, (self.estimate - margin) / self.se))


def welch(arms: Sequence[Sequence[float]]) -> Welch:
    """`arms`: each arm's values over seeds, coefficient included; two or more an arm.

    Where no arm varies at all `se` is 0 and there is no test: identical seeds are no sample.
    Source: Welch (1947), Satterthwaite (1946).
    """
    assert all(len(values) >= 2 for values in arms), "a variance needs two seeds"
    variances = [float(np.var(values, ddof=1)) / len(values) for values in arms]
    total = sum(variances)
    estimate = sum(float(np.mean(values)) for values in arms)
    largest = max(1.0, *(abs(value) for values in arms for value in values))
    # Identical values can leave a variance of rounding errors, 1e-28 for errors in percent.
    if total <= 1e-20 * largest**2:
        return Welch(estimate, 0.0, math.nan)
    shares = [
        variance / total for variance in variances
    ]  # relative: squares of tiny variances would underflow
    df = 1 / sum(share**2 / (len(values) - 1) for share, values in zip(shares, arms, strict=True))
    return Welch(estimate, math.sqrt(total), df)


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Student's interval for one arm's mean; None below two seeds."""
    if len(values) < 2:
        return None
    fit = welch([values])
    return fit.interval(confidence) if fit.se else (fit.estimate, fit.estimate)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: reject where they are <= level, and all claims together err with at most
    that probability.

    Source: Holm (1979).
    """
    adjusted, largest, count = [1.0] * len(p_values), 0.0, len(p_values)
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        largest = max(largest, (count - rank) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def permutation(
    first: Sequence[float], second: Sequence[float], margin: float
) -> tuple[float, float] | None:
    """Exact one-sided p-values of `mean(first) - mean(second)` above and below `margin`.

    The null hypothesis is that `first - margin` and `second` have one distribution, of whatever
    form. None where either has fewer than `MIN_SEEDS_PERMUTATION` values, or the relabellings are
    too many to go through.
    """
    sizes = len(first), len(second)
    if min(sizes) < MIN_SEEDS_PERMUTATION or math.comb(sum(sizes), sizes[0]) > MAX_RELABELLINGS:
        return None
    samples = (np.asarray(first, float) - margin, np.asarray(second, float))

    def difference(
        x: NDArray[np.float64], y: NDArray[np.float64], axis: int = -1
    ) -> NDArray[np.float64]:
        return np.asarray(np.mean(x, axis=axis) - np.mean(y, axis=axis))

    above, below = (
        float(
            stats.permutation_test(
                samples, difference, n_resamples=np.inf, vectorized=True, alternative=side
            ).pvalue
        )
        for side in ("greater", "less")
    )
    return above, below
