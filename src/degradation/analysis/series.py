"""Error curves as the figures need them: an arm's runs by depth, on one grid."""

import numpy as np
from numpy.typing import NDArray

from degradation.analysis.curves import DIVERGED_ERROR_PCT, RunCurves, Study
from degradation.records import DIVERGED

RUNNING = "train/error_pct"
CLEAN_CURVES = ("eval/train_subset_error_pct", "eval/train_error_pct")
TRAIN_CURVES = (*CLEAN_CURVES, RUNNING)
TEST_CURVES = ("test/error_pct", "test/subset_error_pct")


def by_depth(study: Study, kind: str, variant: str = "") -> dict[int, list[RunCurves]]:
    """Ended runs by depth, of the arms with these overrides."""
    depths = sorted({run.depth for run in study.runs if run.kind == kind})
    names = {depth: "-".join(filter(None, (kind, str(depth), variant))) for depth in depths}
    arms = {depth: study.ended(name) for depth, name in names.items()}
    return {depth: runs for depth, runs in arms.items() if runs}


def densest(study: Study, keys: tuple[str, ...]) -> str:
    """The measurement with the most points, since one evaluation at the end makes no curve."""
    longest = {
        key: max(
            (len(run.curves[key].values) for run in study.runs if key in run.curves), default=0
        )
        for key in keys
    }
    clean = [key for key in keys if key != RUNNING]
    several = [key for key in clean if longest[key] > 1]
    return max(several or keys, key=lambda key: longest[key])


def on_grid(run: RunCurves, key: str, grid: list[int]) -> NDArray[np.float64]:
    """A run's curve on a common grid; a diverged run goes on at 90 %."""
    curve = run.curves[key]
    after = DIVERGED_ERROR_PCT if run.status == DIVERGED else curve.values[-1]
    return np.interp(grid, curve.iterations, curve.values, right=after)
