"""A sweep while it runs, read from its records: a table on a terminal, plain lines elsewhere."""

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from degradation import records
from degradation.records import Row

REFRESH_S = 1.0
LINE_EVERY_S = 30.0
RUNNING, WAITING = "running", "waiting"
STYLES = {"done": "green", RUNNING: "cyan", WAITING: "dim"}
TRAIN_KEYS = ("eval/train_error_pct", "eval/train_subset_error_pct")
TEST_KEYS = ("test/error_pct", "test/subset_error_pct")

Stamp = tuple[tuple[int, int], ...]


@dataclass
class Planned:
    """A run that belongs to the sweep, begun or not."""

    name: str
    iterations: int
    cost: float
    """Its share of the sweep's work, in any unit."""


@dataclass
class Progress:
    """A run as its record shows it now."""

    plan: Planned
    rows: list[Row]
    status: str
    """`finished`, `diverged`, `running` or `waiting`."""

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
    """The planned runs; a record is read again only when it has changed, so looking costs little.

    A run is at work if its record has changed since the first look: one left by an interrupted
    sweep waits.
    """

    def __init__(self, study_dir: Path, plan: Sequence[Planned]):
        self.study_dir, self.plan = study_dir, plan
        self.workers = 1
        """The most runs seen at work at once."""
        self._first = {planned.name: self._stamp(planned) for planned in plan}
        self._seen: dict[str, tuple[Stamp, Progress]] = {}

    def look(self) -> list[Progress]:
        runs = [self._progress(planned) for planned in self.plan]
        self.workers = max(self.workers, sum(run.status == RUNNING for run in runs))
        return runs

    def _stamp(self, planned: Planned) -> Stamp:
        run_dir, found = self.study_dir / "runs" / planned.name, []
        for name in (records.METRICS, records.SUMMARY):
            try:
                stat = (run_dir / name).stat()
                found.append((stat.st_mtime_ns, stat.st_size))
            except FileNotFoundError:
                found.append((0, 0))
        return tuple(found)

    def _progress(self, planned: Planned) -> Progress:
        stamp = self._stamp(planned)
        if planned.name not in self._seen or self._seen[planned.name][0] != stamp:
            run_dir = self.study_dir / "runs" / planned.name
            rows, summary = (
                records.read_rows(run_dir / records.METRICS),
                records.read_summary(run_dir),
            )
            begun = RUNNING if stamp != self._first[planned.name] else WAITING
            status = str(summary["status"]) if summary else begun
            self._seen[planned.name] = stamp, Progress(planned, rows, status)
        return self._seen[planned.name][1]


def fraction_done(runs: Sequence[Progress]) -> float:
    """Of the sweep's work."""
    return sum(run.fraction * run.plan.cost for run in runs) / sum(run.plan.cost for run in runs)


def seconds_left(runs: Sequence[Progress], workers: int) -> dict[str, float]:
    """Run -> seconds until it ends, if each worker takes the next run in line when it is free;
    empty while no run has told its pace.
    """
    begun = [run for run in runs if run.rows]
    work = sum(run.fraction * run.plan.cost for run in begun)
    if not work:
        return {}
    pace = sum(run.wall_s for run in begun) / work
    ends = {}
    for run in runs:
        if run.status == RUNNING:
            own = run.wall_s / run.fraction if run.fraction else pace * run.plan.cost
            ends[run.plan.name] = own * (1 - run.fraction)
    free = [0.0] * (workers - len(ends)) + sorted(ends.values())
    for run in runs:
        if run.status == WAITING:
            rest = pace * run.plan.cost * (1 - run.fraction)
            ends[run.plan.name] = heapq.heappop(free) + rest
            heapq.heappush(free, ends[run.plan.name])
    return ends


def watch(sweep: Sweep, running: Callable[[], bool], console: Console) -> None:
    """Shows the sweep until `running` says that it is over."""
    if not console.is_interactive:
        _lines(sweep, running)
        return
    with Live(console=console, auto_refresh=False) as live:
        over = False
        while not over:
            over = not running()
            live.update(view(sweep.look(), sweep.workers, over), refresh=True)
            if not over:
                time.sleep(REFRESH_S)


def _lines(sweep: Sweep, running: Callable[[], bool]) -> None:
    told = {run.plan.name for run in sweep.look() if run.has_ended}
    next_line = time.monotonic() + LINE_EVERY_S
    over = False
    while not over:
        over = not running()
        runs = sweep.look()
        for run in runs:
            if run.has_ended and run.plan.name not in told:
                told.add(run.plan.name)
                print(f"{run.plan.name:<20} {_ended_text(run)}", flush=True)
        if time.monotonic() >= next_line and not over:
            next_line += LINE_EVERY_S
            print(_total_text(runs, seconds_left(runs, sweep.workers)), flush=True)
        if not over:
            time.sleep(REFRESH_S)


def _ended_text(run: Progress) -> str:
    if run.status == records.DIVERGED:
        at = run.rows[-1]["iteration"] if run.rows else 0
        return f"diverged at iteration {at:.0f}"
    train, test = _percent(run, *TRAIN_KEYS), _percent(run, *TEST_KEYS)
    return f"finished  train {train} %  test {test} %" if train or test else "finished"


def _total_text(runs: Sequence[Progress], left: Mapping[str, float]) -> str:
    ended = sum(run.has_ended for run in runs)
    eta = f"  about {duration(max(left.values()))} left" if left else ""
    return f"{100 * fraction_done(runs):3.0f} %  {ended}/{len(runs)} runs{eta}"


def view(runs: Sequence[Progress], workers: int, over: bool = False) -> Group:
    """One line an arm - errors running, clean and on the test set - and the whole below."""
    table = Table("arm", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("runs", "iteration", "lr", "run %", "train %", "test %", "img/s", "ETA"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    arms: dict[str, list[Progress]] = {}
    for run in runs:
        arms.setdefault(records.arm_of(run.plan.name), []).append(run)
    left = {} if over else seconds_left(runs, workers)
    for arm, members in arms.items():
        table.add_row(arm, *_cells(members, left, over))
    whole = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=1.0, completed=fraction_done(runs), width=36)
    whole.add_row(bar, _total_text(runs, left))
    return Group(table, Text(), whole)


def _cells(members: Sequence[Progress], left: Mapping[str, float], over: bool) -> list[str | Text]:
    """The run at work stands for the arm; else the last that has rows. The ETA is the arm's."""
    ended = [run for run in members if run.has_ended]
    at_work = [run for run in members if run.status == RUNNING]
    begun = [run for run in members if run.rows]
    shown = (at_work or begun or list(members))[-1]
    row = shown.rows[-1] if shown.rows else {}
    ends = [left[run.plan.name] for run in members if run.plan.name in left]
    diverged = sum(run.status == records.DIVERGED for run in members)
    if len(ended) == len(members):
        status = f"{diverged} diverged" if diverged else "done"
    else:
        status = "stopped" if over else RUNNING if at_work else WAITING
    return [
        f"{len(ended)}/{len(members)}",
        f"{row['iteration']:.0f}/{shown.plan.iterations}" if row else "",
        f"{row['lr']:.2g}" if "lr" in row else "",
        _percent(shown, "train/error_pct"),
        _percent(shown, *TRAIN_KEYS),
        _percent(shown, *TEST_KEYS),
        f"{row['images_per_s']:.0f}" if "images_per_s" in row else "",
        duration(max(ends)) if ends else "",
        Text(status, STYLES.get(status, "red")),
    ]


def _percent(run: Progress, *keys: str) -> str:
    value = run.last(*keys)
    return "" if value is None else f"{value:.2f}"


def duration(seconds: float) -> str:
    """45 s, 12 min, 3.4 h, 2.1 days."""
    for limit, unit_s, name, digits in (
        (90, 1, "s", 0),
        (5400, 60, "min", 0),
        (172800, 3600, "h", 1),
    ):
        if seconds < limit:
            return f"{seconds / unit_s:.{digits}f} {name}"
    return f"{seconds / 86400:.1f} days"
