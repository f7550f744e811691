"""What a run's rows come to: its line while it trains, and summary.json at its end."""

from collections.abc import Sequence
from typing import Any

from degradation import config, measured, records
from degradation.config import Config, image_shape
from degradation.nets import count_multiply_adds
from degradation.records import Row


def has_diverged(row: Row) -> bool:
    """Whether it is the last row of a run whose loss was not finite."""
    return row["iteration"] > 0 and "train/loss" not in row


def summarise(cfg: Config, name: str, rows: Sequence[Row], parameters: int) -> dict[str, Any]:
    """summary.json: the last iterate's numbers, and the best on the test set under a name that says
    so.
    """
    last = rows[-1]
    is_whole = last.keys() >= set(measured.LOSSES)
    finished = is_whole and last["iteration"] == cfg.schedule.iterations
    tested = [row for row in rows if "test/error_pct" in row]
    best = min(tested, key=lambda row: row["test/error_pct"], default=None)
    below = (row["iteration"] for row in rows if row.get("train/error_pct", 100) < 80)
    return {
        "run": name,
        "arm": records.arm_of(name),
        "experiment": cfg.experiment,
        "preset": cfg.preset,
        "data": cfg.data.name,
        "kind": cfg.model.kind,
        "depth": cfg.model.depth,
        "seed": cfg.seed,
        "precision": cfg.trainer.precision,
        "status": records.FINISHED if finished else records.DIVERGED,
        "iteration": last["iteration"],
        "last": {key: value for key, value in last.items() if "/" in key} if finished else {},
        "best_on_test_set": best and {key: best[key] for key in ("iteration", "test/error_pct")},
        "iteration_below_80_pct": next(below, None),
        "parameters": parameters,
        "multiply_adds": count_multiply_adds(cfg.model, image_shape(cfg.data)),
        "wall_s": last["wall_s"],
        "config_hash": config.config_hash(cfg),
    }


def progress_line(name: str, row: Row, iterations: int) -> str:
    shown = {
        "train/error_pct": "train (running)",
        "eval/train_error_pct": "train (clean)",
        "test/error_pct": "test",
    }
    errors = "  ".join(f"{label} {row[key]:5.2f} %" for key, label in shown.items() if key in row)
    errors = errors or "  ".join(f"{key} {row[key]:.4g}" for key in measured.LOSSES if key in row)
    return f"{name:<18} {int(row['iteration']):>6}/{iterations}  lr {row['lr']:<7.4g} {errors}"
