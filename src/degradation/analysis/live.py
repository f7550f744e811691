"""A sweep while it runs: a table on a terminal, plain lines elsewhere, both read from the records."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from degradation import records
from degradation.records import Row

REFRESH_S = 1.0
LINE_EVERY_S = 30.0


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

    @property
    def fraction(self) -> float:
        if self.status != "unfinished":
            return 1.0
        return self.rows[-1]["iteration"] / self.plan.iterations if self.rows else 0.0

    def last(self, *keys: str) -> float | None:
        """The newest value under any of the keys."""
        return next((row[key] for row in reversed(self.rows) for key in keys if key in row), None)


def look(study_dir: Path, plan: Sequence[Planned]) -> list[Progress]:
    """The state of every planned run."""
    found = []
    for planned in plan:
        run_dir = study_dir / "runs" / planned.name
        summary = records.read_summary(run_dir)
        status = str(summary["status"]) if summary else "unfinished"
        found.append(Progress(planned, records.read_rows(run_dir / records.METRICS), status))
    return found


def fraction_done(runs: Sequence[Progress]) -> float:
    """Of the sweep's work."""
    return sum(run.fraction * run.plan.cost for run in runs) / sum(run.plan.cost for run in runs)


def watch(
    study_dir: Path, plan: Sequence[Planned], running: Callable[[], bool], console: Console
) -> None:
    """Shows the sweep until `running` says that it is over."""
    start, first = time.monotonic(), fraction_done(look(study_dir, plan))

    def eta(runs: Sequence[Progress]) -> str:
        done = fraction_done(runs)
        return (
            duration((time.monotonic() - start) * (1 - done) / (done - first))
            if done > first
            else "?"
        )

    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            while running():
                runs = look(study_dir, plan)
                live.update(view(runs, eta(runs)))
                time.sleep(REFRESH_S)
            live.update(view(look(study_dir, plan), ""))
    else:
        _lines(study_dir, plan, running, eta)


def _lines(
    study_dir: Path,
    plan: Sequence[Planned],
    running: Callable[[], bool],
    eta: Callable[[Sequence[Progress]], str],
) -> None:
    told = {run.plan.name for run in look(study_dir, plan) if run.status != "unfinished"}
    next_line = time.monotonic() + LINE_EVERY_S
    over = False
    while not over:
        over = not running()
        runs = look(study_dir, plan)
        for run in runs:
            if run.status != "unfinished" and run.plan.name not in told:
                told.add(run.plan.name)
                errors = f"train {percent(run, *TRAIN_KEYS)} %  test {percent(run, *TEST_KEYS)} %"
                print(f"{run.plan.name:<20} {run.status}  {errors}", flush=True)
        if time.monotonic() >= next_line and not over:
            next_line += LINE_EVERY_S
            done = f"{100 * fraction_done(runs):3.0f} %  {len(told)}/{len(plan)} runs"
            print(f"{done}  about {eta(runs)} left", flush=True)
        if not over:
            time.sleep(REFRESH_S)


TRAIN_KEYS = ("eval/train_error_pct", "eval/train_subset_error_pct")
TEST_KEYS = ("test/error_pct", "test/subset_error_pct")


def view(runs: Sequence[Progress], eta: str) -> Group:
    """One line an arm, and the whole below."""
    table = Table(
        "arm", "runs", "iteration", "lr", "running %", "train %", "test %", "images/s", "status"
    )
    for column in table.columns[1:-1]:
        column.justify = "right"
    arms: dict[str, list[Progress]] = {}
    for run in runs:
        arms.setdefault(records.arm_of(run.plan.name), []).append(run)
    for arm, members in arms.items():
        table.add_row(arm, *_cells(members))
    done = fraction_done(runs)
    text = f"{100 * done:3.0f} %" + (f"   about {eta} left" if eta and done < 1 else "")
    return Group(table, ProgressBar(total=1.0, completed=done, width=60), Text(text))


def _cells(members: Sequence[Progress]) -> list[str]:
    """The run at work stands for the arm; before and after, the last one that has rows."""
    ended = [run for run in members if run.status != "unfinished"]
    at_work = [run for run in members if run.status == "unfinished" and run.rows]
    shown = (at_work or ended or list(members))[-1]
    row = shown.rows[-1] if shown.rows else {}
    diverged = sum(run.status == records.DIVERGED for run in members)
    status = "running" if at_work else "finished" if len(ended) == len(members) else "waiting"
    return [
        f"{len(ended)}/{len(members)}",
        f"{row['iteration']:.0f}/{shown.plan.iterations}" if row else "",
        f"{row['lr']:.3g}" if row else "",
        percent(shown, "train/error_pct"),
        percent(shown, *TRAIN_KEYS),
        percent(shown, *TEST_KEYS),
        f"{row['images_per_s']:.0f}" if row else "",
        status + (f", {diverged} diverged" if diverged else ""),
    ]


def percent(run: Progress, *keys: str) -> str:
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
