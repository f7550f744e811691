"""How far a sweep is, read from its records and locks."""

import heapq
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from degradation import locks, records
from degradation.records import RecordError, Row

RUNNING, WAITING, STOPPED, NOT_BEGUN = "running", "waiting", "stopped", "not begun"
FAILED, DAMAGED = "failed", "damaged"
LEFT = (WAITING, STOPPED, NOT_BEGUN)
"""To be done still, as far as anybody knows."""
LOG_LOCKS = "sweep*.log.lock"
"""Held by each `make reproduce` or `make evidence` in its study."""
SETTLED_NS = 10**9
"""After so long a lock that nobody holds has been given back, and is not just being taken."""

Stamp = tuple[int, int]


@dataclass
class Planned:
    """A run that belongs to the sweep, begun or not."""

    name: str
    iterations: int
    cost: float
    """Its share of the sweep's work, in any unit."""
    is_damaged: bool = False
    """Its config cannot be read."""


def planned(name: str, iterations: int, depth: int) -> Planned:
    """A step costs about in proportion to the depth."""
    return Planned(name, iterations, float(iterations * depth))


@dataclass
class Progress:
    """A run as its record shows it now."""

    plan: Planned
    rows: list[Row]
    status: str
    """`finished`, `diverged` or `running`; `failed`: broken off in the sweep that is at work;
    `waiting` for its turn in it; otherwise `stopped` or `not begun`; `damaged`: not to be read.
    """

    @property
    def has_ended(self) -> bool:
        return self.status in (records.FINISHED, records.DIVERGED)

    @property
    def fraction(self) -> float:
        if self.has_ended:
            return 1.0
        return self.rows[-1]["iteration"] / self.plan.iterations if self.rows else 0.0

    @property
    def wall_s(self) -> float:
        return self.rows[-1].get("wall_s", 0.0) if self.rows else 0.0

    def last(self, *keys: str) -> float | None:
        """The newest value under any of the keys."""
        return next((row[key] for row in reversed(self.rows) for key in keys if key in row), None)


class Sweep:
    """The planned runs. Looking costs little: only what a record has more than at the last look is
    read, and a run that has ended is read once.
    """

    def __init__(
        self,
        study_dir: Path,
        plan: Sequence[Planned],
        is_own: bool = False,
        began: int | None = None,
    ):
        self.plan, self.is_own, self.began = plan, is_own, began
        """is_own: who watches makes these very runs. began: since when, in nanoseconds, if once."""
        self.workers = 1
        """The most runs seen at work at once."""
        self._study_dir = study_dir
        self._runs = {one.name: _Watched(study_dir / "runs" / one.name) for one in plan}

    def look(self, over: bool = False) -> list[Progress]:
        """over: nothing waits any more."""
        began = self.began or self._began()
        waits = self.is_own and not over
        runs = []
        for one in self.plan:
            watched = self._runs[one.name]
            status = DAMAGED if one.is_damaged else watched.look(began, waits)
            runs.append(Progress(one, watched.rows, status))
        self.workers = max(self.workers, sum(run.status == RUNNING for run in runs))
        return runs

    def _began(self) -> int | None:
        """When the sweep that is at work began. None where there are several, since one may take
        over what another one leaves undone, and where it is one that has no log.
        """
        found = self._study_dir.glob(LOG_LOCKS)
        at_work = [lock for lock in found if locks.is_held(lock)]
        return locks.taken_at(at_work[0]) if len(at_work) == 1 else None


@dataclass
class _Watched:
    """A run directory, as far as it has been read."""

    run_dir: Path
    rows: list[Row] = field(default_factory=list)
    ended: str = ""
    """What it ended as, or that it is damaged."""
    _stamps: tuple[Stamp, Stamp] | None = None
    _file: int = -1
    _bytes: int = 0

    def look(self, began: int | None, waits: bool) -> str:
        """Its status. began: when the sweep did that is at work; waits: for its turn in it."""
        # The lock first: a run writes its summary before it gives the lock back.
        lock = self.run_dir / locks.LOCK
        taken = locks.taken_at(lock)
        is_held = not self.ended and locks.is_held(lock)
        self._update()
        if self.ended or is_held:
            return self.ended or RUNNING
        settled = time.time_ns() - SETTLED_NS
        if began is not None and taken is not None and began <= taken < settled:
            return FAILED
        if waits:
            return WAITING
        return STOPPED if self.rows or taken is not None else NOT_BEGUN

    def _update(self) -> None:
        stamps = _stamp(self.run_dir / records.METRICS), _stamp(self.run_dir / records.SUMMARY)
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._read_rows()
            summary = records.read_summary(self.run_dir)
            self.ended = str(summary["status"]) if summary else ""
        except (RecordError, OSError):
            self.ended = DAMAGED

    def _read_rows(self) -> None:
        """A record grows at its end; a run that is continued writes its file anew."""
        path = self.run_dir / records.METRICS
        try:
            file = path.open("rb")
        except FileNotFoundError:
            self.rows, self._file, self._bytes = [], -1, 0
            return
        with file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._file or found.st_size < self._bytes:
                self.rows, self._file, self._bytes = [], found.st_ino, 0
            file.seek(self._bytes)
            content = file.read()
        new = content[: content.rfind(b"\n") + 1]
        self.rows = self.rows + records.rows_of(new, path, self.rows)
        self._bytes += len(new)


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def fraction_done(runs: Sequence[Progress]) -> float:
    """Of the sweep's work."""
    return sum(run.fraction * run.plan.cost for run in runs) / sum(run.plan.cost for run in runs)


def seconds_left(runs: Sequence[Progress], workers: int) -> dict[str, float]:
    """Run -> seconds until it ends, if each worker takes the next run in line when it is free;
    empty while no run is at work or none has told its pace.
    """
    begun = [run for run in runs if run.rows]
    work = sum(run.fraction * run.plan.cost for run in begun)
    if not work or not any(run.status in (RUNNING, WAITING) for run in runs):
        return {}
    pace = sum(run.wall_s for run in begun) / work
    ends = {}
    for run in runs:
        if run.status == RUNNING:
            own = run.wall_s / run.fraction if run.fraction else pace * run.plan.cost
            ends[run.plan.name] = own * (1 - run.fraction)
    free = [0.0] * (workers - len(ends)) + sorted(ends.values())
    for run in runs:
        if run.status in LEFT:
            rest = pace * run.plan.cost * (1 - run.fraction)
            ends[run.plan.name] = heapq.heappop(free) + rest
            heapq.heappush(free, ends[run.plan.name])
    return ends
