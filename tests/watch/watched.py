"""Sweeps at work, as their records and locks show them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from degradation import locks
from degradation.records import DIVERGED, FINISHED, Row, Writer
from degradation.watch.progress import Planned

ARMS = ("plain-110", "residual-110", "plain-18", "residual-18")
PLAN = [Planned(f"{arm}-s{seed}", 400, 1.0) for arm in ARMS for seed in range(2)]


def row(iteration: int, wall_s: float = 1.0, **errors: float) -> Row:
    head = {"iteration": iteration, "epoch": 0.5, "lr": 0.0505, "wall_s": wall_s}
    return {**head, "images_per_s": 12345.6, "train/error_pct": 61.234, **errors}


def begin(study: Path, name: str, *rows: Row) -> Writer:
    writer = Writer(study / "runs" / name, {}, {})
    for each in rows:
        writer.write(each)
    return writer


def end(study: Path, name: str, status: str = FINISHED) -> None:
    last = row(400, **{"eval/train_error_pct": 41.5, "test/error_pct": 43.75})
    writer = begin(study, name, row(25) if status == DIVERGED else last)
    writer.finish({"status": status})
    writer.close()


@contextlib.contextmanager
def locked(study: Path, name: str) -> Iterator[None]:
    """As by a process that is at work on the run."""
    run_dir = study / "runs" / name
    run_dir.mkdir(parents=True, exist_ok=True)
    with locks.hold(run_dir / locks.LOCK):
        yield
