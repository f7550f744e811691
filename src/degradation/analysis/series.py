"""Error curves as the figures need them: an arm's runs by depth, on one grid."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from degradation.analysis.curves import DIVERGED_ERROR_PCT, RunCurves, Study
from degradation.analysis.estimands import Metric
from degradation.records import DIVERGED

RUNNING = "train/error_pct"
CLEAN_CURVES = ("eval/train_subset_error_pct", "eval/train_error_pct")
TRAIN_CURVES = (*CLEAN_CURVES, RUNNING)
TEST_CURVES = ("test/error_pct", "test/subset_error_pct")
FINAL = {"training": Metric("eval/train_error_pct"), "test": Metric("test/error_pct")}
FLOOR_PCT = 0.01
"""Where a logarithmic axis ends at most; lower errors are drawn there."""


def by_depth(study: Study, kind: str, variant: str = "") -> dict[int, list[RunCurves]]:
    """Ended runs by depth, of the arms with these overrides."""
    depths = sorted({run.depth for run in study.runs if run.kind == kind})
    names = {depth: "-".join(filter(None, (kind, str(depth), variant))) for depth in depths}
    arms = {depth: study.ended(name) for depth, name in names.items()}
    return {depth: runs for depth, runs in arms.items() if runs}


def densest(runs: Sequence[RunCurves], keys: tuple[str, ...]) -> str:
    """The measurement with the most points, since one evaluation at the end makes no curve."""
    longest = {
        key: max((len(run.curves[key].values) for run in runs if key in run.curves), default=0)
        for key in keys
    }
    clean = [key for key in keys if key != RUNNING]
    several = [key for key in clean if longest[key] > 1]
    return max(several or keys, key=lambda key: longest[key])


def with_curve(runs: Sequence[RunCurves], key: str) -> list[RunCurves]:
    """Those that a mean curve is of: also the diverged ones that broke off before their first
    point, if any run has one.
    """
    if not any(key in run.curves for run in runs):
        return []
    return [run for run in runs if key in run.curves or run.status == DIVERGED]


def longest_grid(runs: Sequence[RunCurves], key: str) -> list[int]:
    """The iterations of the run with the most points."""
    return max((run.curves[key].iterations for run in runs if key in run.curves), key=len)


def on_grid(run: RunCurves, key: str, grid: list[int]) -> NDArray[np.float64]:
    """A run's curve on a common grid; a diverged run goes on at 90 %."""
    if key not in run.curves:
        assert run.status == DIVERGED
        return np.full(len(grid), DIVERGED_ERROR_PCT)
    curve = run.curves[key]
    after = DIVERGED_ERROR_PCT if run.status == DIVERGED else curve.values[-1]
    return np.interp(grid, curve.iterations, curve.values, right=after)


def lower_ends(means: Sequence[float], runs: Sequence[RunCurves]) -> tuple[float, float]:
    """Where a linear and a logarithmic axis of errors in percent begin: below the means at the end,
    and below whatever else is drawn of the runs.
    """
    keys = {densest(runs, names) for names in (TRAIN_CURVES, TEST_CURVES)}
    drawn = [min(run.curves[key].values) for run in runs for key in keys if key in run.curves]
    ends = [
        value
        for run in runs
        for metric in FINAL.values()
        if (value := run.value(metric)) is not None
    ]
    lowest = min(means, default=0.0)
    least = min([*drawn, *ends], default=lowest)
    linear = max(0.0, 10.0 * math.floor(min(lowest - 5, least) / 10))
    return linear, max(FLOOR_PCT, min(0.7 * lowest, least))
