"""The table of a sweep: an arm a line, as wide and as high as there is room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from degradation import measured, records
from degradation.watch.progress import (
    DAMAGED,
    FAILED,
    NOT_BEGUN,
    RUNNING,
    STOPPED,
    WAITING,
    Progress,
    fraction_done,
    seconds_left,
)

DONE = "done"
STYLES = {DONE: "green", RUNNING: "cyan", WAITING: "dim", NOT_BEGUN: "dim", STOPPED: "yellow"}
IN_BRIEF = (FAILED, DAMAGED, RUNNING, STOPPED, WAITING, NOT_BEGUN)
"""States of runs by priority: an arm shows the first that any of its runs is in."""
RUNNING_KEY, TRAIN_KEYS, TEST_KEYS = (measured.RUNNING,), measured.TRAIN[::-1], measured.TEST
"""Prefixes of the measure's keys; where a row has both, the whole set goes before the subset."""
COLUMNS = ("arm", "runs", "iteration", "lr", "run %", "train %", "test %", "img/s", "ETA", "status")
ENDS = (COLUMNS[0], COLUMNS[-1])
FIRST_TO_GO = ("img/s", "lr", "run %", "runs")
SHORTEST = 13
"""Of the column of arms: `residual-110` and a blank."""
BELOW_ARMS = 6
"""Lines of the view besides the arms, and the cursor's."""


@dataclass
class Arm:
    """A line of the table."""

    cells: list[str]
    status: str

    @property
    def is_quiet(self) -> bool:
        """Whether it can be left out where there is little room."""
        return self.status in (DONE, WAITING, NOT_BEGUN)


def end_of(run: Progress) -> str:
    """What has become of a run that does not go on."""
    at = f" at iteration {run.rows[-1]['iteration']:.0f}" if run.rows else ""
    if run.status in (records.DIVERGED, FAILED, DAMAGED):
        return f"{run.status}{at}"
    if run.status != records.FINISHED:
        return ""
    what = _measure([run])
    train, test = (_value([run], what, keys) for keys in (TRAIN_KEYS, TEST_KEYS))
    if not train and not test:
        return "finished"
    if what == measured.LOSS:
        return f"finished  train loss {train}  test loss {test}"
    return f"finished  train {train} %  test {test} %"


def total_text(runs: Sequence[Progress], workers: int) -> str:
    """The whole in a line: ` 34 %  8/24 runs, 2 running  about 3 min left`."""
    ended = sum(run.has_ended for run in runs)
    counts = [f"{ended}/{len(runs)} runs"]
    for status in (RUNNING, records.DIVERGED, FAILED, DAMAGED, STOPPED):
        count = sum(run.status == status for run in runs)
        counts += [f"{count} {status}"] if count else []
    left = seconds_left(runs, workers)
    eta = f"  about {duration(max(left.values()))} left" if left else ""
    return f"{100 * fraction_done(runs):3.0f} %  {', '.join(counts)}{eta}"


def view(runs: Sequence[Progress], workers: int, width: int, height: int | None = None) -> Group:
    """One line an arm - errors running, clean and on the test set, or losses where there are no
    errors - and the whole below.

    width, height: of the terminal. Where names are long some columns go, then the names' middles,
    and where there are more arms than lines quiet ones are only counted; None: all are shown.
    """
    arms = by_arm(runs, workers)
    shown = _fitting(arms, height - BELOW_ARMS) if height else arms
    heads = dict(zip(COLUMNS, _heads(runs), strict=True))
    widths = _widths([list(heads.values()), *((*arm.cells, arm.status) for arm in shown)], width)
    columns = list(widths)
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for name in columns:
        table.add_column(heads[name], justify="left" if name in ENDS else "right", no_wrap=True)
    for arm in shown:
        cells = dict(zip(COLUMNS, arm.cells, strict=False))
        cells["arm"] = shortened(cells["arm"], widths["arm"] - 1)
        status = Text(arm.status, STYLES.get(arm.status, "red"))
        table.add_row(*(cells[name] for name in columns[:-1]), status)
    rest = [arm.status for arm in arms if arm not in shown]
    counts = ", ".join(f"{rest.count(status)} {status}" for status in dict.fromkeys(rest))
    whole = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=1.0, completed=fraction_done(runs), width=24)
    whole.add_row(bar, total_text(runs, workers))
    return Group(table, Text(f"and {len(rest)} more arms: {counts}" if rest else ""), whole)


def shortened(name: str, length: int) -> str:
    """Without its middle where it is too long: kind and depth stand first, the last change last."""
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[len(name) - (length - 1 - head) :]}"


def _widths(lines: Sequence[Sequence[str]], width: int) -> dict[str, int]:
    """Of the columns for which there is room; a blank stands behind each."""
    columns = zip(*lines, strict=True)
    widths = dict(zip(COLUMNS, (max(map(len, cells)) + 1 for cells in columns), strict=True))
    for name in FIRST_TO_GO:
        if sum(widths.values()) > width:
            del widths[name]
    too_much = max(0, sum(widths.values()) - width)
    return widths | {"arm": max(SHORTEST, widths["arm"] - too_much)}


def _fitting(arms: Sequence[Arm], room: int) -> Sequence[Arm]:
    """Those for which there is room, in their order; what happens goes before what does not."""
    first = sorted(range(len(arms)), key=lambda i: (arms[i].is_quiet, arms[i].status == DONE, i))
    return [arms[i] for i in sorted(first[: max(room, 1)])]


def text(runs: Sequence[Progress], workers: int) -> str:
    """The same for where there is no terminal: no colours, no width, a line an arm."""
    lines = [_heads(runs), *((*arm.cells, arm.status) for arm in by_arm(runs, workers))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [cell.rjust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    aligned = [
        "  ".join([line[0].ljust(widths[0]), *cells[1:-1], line[-1]])
        for line, cells in zip(lines, padded, strict=True)
    ]
    return "\n".join([*aligned, total_text(runs, workers).strip()])


def by_arm(runs: Sequence[Progress], workers: int) -> list[Arm]:
    arms: dict[str, list[Progress]] = {}
    for run in runs:
        arms.setdefault(records.arm_of(run.plan.name), []).append(run)
    left, what = seconds_left(runs, workers), _measure(runs)
    return [
        Arm([name, *_cells(members, left, what)], _status(members))
        for name, members in arms.items()
    ]


def _heads(runs: Sequence[Progress]) -> list[str]:
    unit = "loss" if _measure(runs) == measured.LOSS else "%"
    return [name.replace("%", unit) for name in COLUMNS]


def _measure(runs: Sequence[Progress]) -> str:
    """The loss where there are losses but no errors, as of nets that copy their input."""

    def is_there(what: str) -> bool:  # not in each row: some are of probes
        return bool(_value(runs, what, [*RUNNING_KEY, *TRAIN_KEYS, *TEST_KEYS]))

    is_loss = is_there(measured.LOSS) and not is_there(measured.ERROR)
    return measured.LOSS if is_loss else measured.ERROR


def _cells(members: Sequence[Progress], left: Mapping[str, float], what: str) -> list[str]:
    """The run at work stands for the arm, else the last that has rows; errors of an arm that has
    ended are the mean of its runs that finished. The ETA is the arm's.
    """
    at_work = [run for run in members if run.status == RUNNING]
    begun = [run for run in members if run.rows]
    shown = (at_work or begun or list(members))[-1]
    row = shown.rows[-1] if shown.rows else {}
    finished = [run for run in members if run.status == records.FINISHED]
    told = finished if finished and all(run.has_ended for run in members) else [shown]
    ends = [left[run.plan.name] for run in members if run.plan.name in left]
    return [
        f"{sum(run.has_ended for run in members)}/{len(members)}",
        f"{row['iteration']:.0f}/{shown.plan.iterations}" if row else "",
        f"{row['lr']:.2g}" if "lr" in row else "",
        *(_value(told, what, keys) for keys in (RUNNING_KEY, TRAIN_KEYS, TEST_KEYS)),
        f"{row['images_per_s']:.0f}" if "images_per_s" in row else "",
        duration(max(ends)) if ends else "",
    ]


def _status(members: Sequence[Progress]) -> str:
    """What went wrong with a count, then what is at work, then what is left."""
    found = [run.status for run in members]
    for status in IN_BRIEF:
        if status in found:
            is_wrong = status in (FAILED, DAMAGED)
            return f"{found.count(status)} {status}" if is_wrong else status
    diverged = found.count(records.DIVERGED)
    return f"{diverged} diverged" if diverged else DONE


def _value(runs: Sequence[Progress], what: str, keys: Sequence[str]) -> str:
    """The mean of the last ones."""
    found = [run.last(*(f"{key}{what}" for key in keys)) for run in runs]
    values = [value for value in found if value is not None]
    if not values:
        return ""
    return f"{fmean(values):.3g}" if what == measured.LOSS else f"{fmean(values):.2f}"


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
