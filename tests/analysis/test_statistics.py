"""Against SciPy, a worked example, brute force and simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from degradation.analysis.statistics import holm, mean_interval, permutation, welch

FIRST = [81.2, 84.9, 79.4, 83.0, 82.1]
SECOND = [57.3, 54.1, 58.8]


def test_difference_of_two_arms_is_scipys_welch_test() -> None:
    fit = welch([FIRST, [-value for value in SECOND]])
    reference = stats.ttest_ind(FIRST, SECOND, equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert fit.df == pytest.approx(reference.df)
    assert fit.interval(0.95) == pytest.approx((interval.low, interval.high))
    margin = 22.0
    shifted = np.array(FIRST) - margin
    for p, side in ((fit.p_above(margin), "greater"), (fit.p_below(margin), "less")):
        expected = stats.ttest_ind(shifted, SECOND, equal_var=False, alternative=side).pvalue
        assert p == pytest.approx(expected)


def test_one_arm_is_students_interval() -> None:
    reference = stats.ttest_1samp(FIRST, 0).confidence_interval(0.95)
    assert mean_interval(FIRST, 0.95) == pytest.approx((reference.low, reference.high))
    assert mean_interval(FIRST[:1], 0.95) is None
    assert mean_interval([90.0, 90.0], 0.95) == (90.0, 90.0)


def test_interval_of_a_difference_of_differences_covers_as_promised() -> None:
    """Four arms of three seeds with unequal spread, as the claims have them."""
    generator = np.random.default_rng(1)
    means, spreads, weights = (90, 56, 58, 47), (1, 5, 3, 2), (0.5, -0.5, -1, 1)
    truth = float(np.dot(means, weights))
    covered = 0
    for _ in range(4000):
        arms = [
            list(weight * generator.normal(mean, spread, 3))
            for mean, spread, weight in zip(means, spreads, weights, strict=True)
        ]
        low, high = welch(arms).interval(0.95)
        covered += low <= truth <= high
    assert 0.94 <= covered / 4000 <= 0.975  # the standard error of a share of 95 % is 0.3 %


@pytest.mark.parametrize("value", [90.0, 0.1, 33.3333333])
def test_arms_without_any_spread_have_no_test(value: float) -> None:
    fit = welch([[0.5 * value] * 3, [-value] * 5])
    assert fit.se == 0
    assert fit.estimate == pytest.approx(-0.5 * value)


def test_one_arm_without_spread_counts_as_exact() -> None:
    fit = welch([[90.0] * 5, [-value for value in SECOND]])
    reference = stats.ttest_1samp(SECOND, 0).confidence_interval(0.95)
    assert fit.interval(0.95) == pytest.approx((90 - reference.high, 90 - reference.low))


def test_holm_as_worked_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04, made monotone.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_family_wise_error() -> None:
    generator = np.random.default_rng(2)
    wrong = sum(min(holm(list(generator.random(8)))) <= 0.05 for _ in range(4000))
    assert wrong / 4000 <= 0.06


@pytest.mark.parametrize("margin", [0.0, 25.0, 30.0])
def test_permutation_goes_through_all_relabellings(margin: float) -> None:
    first, second = [90.0, 90.0, 31.0, 90.0, 88.0], [57.0, 54.0, 58.0, 60.0, 55.0]
    pooled = [value - margin for value in first] + second
    observed = float(np.mean(pooled[:5]) - np.mean(pooled[5:]))
    differences = []
    for chosen in itertools.combinations(range(10), 5):
        a = [pooled[i] for i in chosen]
        b = [pooled[i] for i in range(10) if i not in chosen]
        differences.append(float(np.mean(a) - np.mean(b)))
    above = np.mean([difference >= observed - 1e-9 for difference in differences])
    below = np.mean([difference <= observed + 1e-9 for difference in differences])
    assert permutation(first, second, margin) == pytest.approx((above, below))


def test_permutation_needs_five_seeds_and_no_more_than_ten_against_ten() -> None:
    assert permutation([90.0] * 4, [50.0] * 9, 0) is None
    assert permutation(range(10), range(10), 0) is not None
    assert permutation(range(11), range(11), 0) is None  # 705,432 relabellings
