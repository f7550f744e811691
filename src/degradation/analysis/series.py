"""Error curves as the figures need them: an arm's runs by depth, on one grid."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from degradation import measured
from degradation.analysis.curves import DIVERGED_ERROR_PCT, RunCurves, Study
from degradation.analysis.estimands import Metric
from degradation.records import DIVERGED

RUNNING = measured.RUNNING + measured.ERROR
CLEAN_CURVES = tuple(part + measured.ERROR for part in measured.TRAIN)
TRAIN_CURVES = (*CLEAN_CURVES, RUNNING)
TEST_CURVES = tuple(part + measured.ERROR for part in measured.TEST)
FINAL = {"training": Metric("eval/train_error_pct"), "test": Metric("test/error_pct")}
LOG_BELOW_PCT = 10.0
"""A logarithmic error axis once an arm's mean test error is below this; a training error alone may
be next to nothing where few images are learnt by heart, and what matters is higher up.
"""
FLOOR_PCT = 0.01
"""Where a logarithmic axis ends at most; lower errors are drawn there."""
MOST_PANELS = 4

Arms = dict[tuple[str, int], list[RunCurves]]


def by_depth(study: Study, kind: str, variant: str = "") -> dict[int, list[RunCurves]]:
    """Ended runs by depth, of the arms with these overrides."""
    depths = sorted({run.depth for run in study.runs if run.kind == kind})
    names = {depth: "-".join(filter(None, (kind, str(depth), variant))) for depth in depths}
    arms = {depth: study.ended(name) for depth, name in names.items()}
    return {depth: runs for depth, runs in arms.items() if runs}


def arms_with(study: Study, key: str, variant: str = "") -> Arms:
    """Ended runs that have `key` on record, by kind and depth, of the arms with these overrides."""
    arms: Arms = {}
    for run in study.runs:
        if run.overrides == variant and run.has_ended and key in run.curves:
            arms.setdefault((run.kind, run.depth), []).append(run)
    return arms


def shown_at_the_end(study: Study) -> Study:
    """What the figure of final errors has a panel of: all changes, or of many none."""
    return study if len(study.variants) <= MOST_PANELS else study.without_variants()


def values_of(runs: Sequence[RunCurves], metric: Metric) -> list[float]:
    """Of the runs that have it."""
    return [value for run in runs if (value := run.value(metric)) is not None]


def dodge(depths: Sequence[int]) -> float:
    """How far points of one depth stand apart, as a factor: so that it looks alike on axes of few
    depths and of many, and there is never more than on that of 18 to 110 layers.
    """
    span = math.log(depths[-1] / depths[0]) if depths else 0.0
    return float(1.022 ** min(1.0, max(0.1, span / math.log(110 / 18))))


def depth_range(depths: Sequence[int]) -> tuple[float, float]:
    """What an axis of depths shows at least: points of a single one stand apart on it."""
    return depths[0] / 1.1, depths[-1] * 1.1


def samples(study: Study, kind: str, metric: Metric, variant: str = "") -> dict[int, list[float]]:
    """Each ended run's number by depth; depths that have none are left out."""
    arms = by_depth(study, kind, variant)
    return {depth: found for depth, runs in arms.items() if (found := values_of(runs, metric))}


def milestones(study: Study) -> list[int]:
    """Where the learning rate drops, if all runs agree on it."""
    found = {tuple(run.config.get("schedule", {}).get("milestones", ())) for run in study.runs}
    return list(found.pop()) if len(found) == 1 else []


def densest(runs: Sequence[RunCurves], keys: tuple[str, ...]) -> str:
    """The measurement with the most points, since one evaluation at the end makes no curve."""
    longest = {
        key: max((len(run.curves[key].values) for run in runs if key in run.curves), default=0)
        for key in keys
    }
    clean = [key for key in keys if key != RUNNING]
    several = [key for key in clean if longest[key] > 1]
    return max(several or keys, key=lambda key: longest[key])


def has_test_at_the_end_alone(study: Study) -> bool:
    """Which is a point and no curve."""
    key = densest(study.runs, TEST_CURVES)
    return all(len(run.curves[key].values) < 2 for run in study.runs if key in run.curves)


def with_curve(runs: Sequence[RunCurves], key: str) -> list[RunCurves]:
    """Those in a mean curve, with the ones that diverged before their first point; none where no
    run has a point.
    """
    if not any(key in run.curves for run in runs):
        return []
    return [run for run in runs if key in run.curves or run.status == DIVERGED]


def longest_grid(runs: Sequence[RunCurves], key: str) -> list[int]:
    """The iterations of the run with the most points; where all diverged also the next one, from
    which on they count as chance, and the end.
    """
    grid = _longest(runs, key)
    lost, end = lost_at(runs, key), max(run.iterations for run in runs)
    return grid if lost is None else [*grid, *sorted({lost, end})]


def lost_at(runs: Sequence[RunCurves], key: str) -> int | None:
    """The iteration after the last point where all runs diverged; None where one has an end."""
    after, end = _longest(runs, key)[-1] + 1, max(run.iterations for run in runs)
    return after if after <= end and all(run.status == DIVERGED for run in runs) else None


def _longest(runs: Sequence[RunCurves], key: str) -> list[int]:
    return max((run.curves[key].iterations for run in runs if key in run.curves), key=len)


def on_grid(run: RunCurves, key: str, grid: list[int]) -> NDArray[np.float64]:
    """A run's curve on a common grid; a diverged run goes on at 90 %."""
    if key not in run.curves:
        assert run.status == DIVERGED
        return np.full(len(grid), DIVERGED_ERROR_PCT)
    curve = run.curves[key]
    after = DIVERGED_ERROR_PCT if run.status == DIVERGED else curve.values[-1]
    return np.interp(grid, curve.iterations, curve.values, right=after)


@dataclass(frozen=True)
class ErrorAxis:
    """Where a linear and a logarithmic axis of errors in percent begin."""

    linear: float
    log: float
    is_log: bool
    """Whether the logarithmic one is to be taken."""


def error_axis(arms: Iterable[Sequence[RunCurves]]) -> ErrorAxis:
    """Below the arms' means at the end, and below whatever else is drawn of their runs."""
    arms = list(arms)
    runs = [run for of_arm in arms for run in of_arm]
    ends = [found for of_arm in arms for m in FINAL.values() if (found := values_of(of_arm, m))]
    means = [float(np.mean(found)) for found in ends]
    tests = [float(np.mean(found)) for of in arms if (found := values_of(of, FINAL["test"]))]
    keys = {densest(runs, names) for names in (TRAIN_CURVES, TEST_CURVES)}
    drawn = [min(run.curves[key].values) for run in runs for key in keys if key in run.curves]
    lowest = min(means, default=0.0)
    least = min([*drawn, *(value for found in ends for value in found)], default=lowest)
    return ErrorAxis(
        max(0.0, 10.0 * math.floor(min(lowest - 5, least) / 10)),
        max(FLOOR_PCT, min(0.7 * lowest, least)),
        min(tests, default=math.inf) < LOG_BELOW_PCT,
    )
