"""The live view: what it reads from the records of a sweep at work, and what it shows."""

import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from degradation.analysis import live
from degradation.analysis.live import Planned, Progress, Sweep
from degradation.records import DIVERGED, FINISHED, Row, Writer

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


def shown(runs: list[Progress], width: int = 80, over: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(live.view(runs, workers=2, over=over))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines_by_arm(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_a_run_is_at_work_once_its_record_changes(tmp_path: Path) -> None:
    begin(tmp_path, "plain-18-s0", row(100)).close()  # left by an interrupted sweep
    sweep = Sweep(tmp_path, PLAN)

    def states() -> dict[str, tuple[str, float]]:
        return {run.plan.name: (run.status, run.fraction) for run in sweep.look()}

    assert states()["plain-18-s0"] == ("waiting", 0.25)
    assert states()["plain-110-s0"] == ("waiting", 0.0)
    writer = begin(tmp_path, "plain-110-s0")
    for written in (row(100), row(200)):
        writer.write(written)
        assert states()["plain-110-s0"] == ("running", written["iteration"] / 400)
    end(tmp_path, "residual-18-s0")
    end(tmp_path, "residual-18-s1", DIVERGED)
    assert states()["residual-18-s0"] == ("finished", 1.0)
    assert states()["residual-18-s1"] == ("diverged", 1.0)
    writer.close()


def test_the_most_runs_seen_at_work_are_the_workers(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, PLAN)
    for name in ("plain-110-s0", "plain-110-s1", "residual-110-s0"):
        begin(tmp_path, name, row(5)).close()
    sweep.look()
    end(tmp_path, "plain-110-s0")
    sweep.look()
    assert sweep.workers == 3


def progress(name: str, cost: float, done: float, wall_s: float, status: str) -> Progress:
    rows = [row(int(1000 * done), wall_s)] if done else []
    return Progress(Planned(name, 1000, cost), rows, status)


def test_seconds_left_by_hand() -> None:
    """Two workers, 10 s for each unit of cost; the third takes over where a is done, and so on."""
    runs = [
        progress("ended", 4, 1.0, 40.0, FINISHED),
        progress("a", 4, 0.5, 20.0, "running"),  # 20 s left
        progress("b", 4, 0.25, 10.0, "running"),  # 30 s left
        progress("c", 2, 0.5, 10.0, "waiting"),  # begun earlier: 10 s, from 20 s on
        progress("d", 2, 0.0, 0.0, "waiting"),  # 20 s, from 30 s on
        progress("e", 1, 0.0, 0.0, "waiting"),
    ]
    left = live.seconds_left(runs, workers=2)
    assert left == pytest.approx({"a": 20.0, "b": 30.0, "c": 30.0, "d": 50.0, "e": 40.0})
    assert live.fraction_done(runs) == pytest.approx((4 + 2 + 1 + 1) / 17)


def test_a_run_at_work_has_a_pace_of_its_own() -> None:
    runs = [
        progress("slow", 1, 0.5, 90.0, "running"),
        progress("fast", 1, 0.5, 10.0, "running"),
        progress("new", 1, 0.0, 0.0, "running"),  # at the pace of the two: 100 s for a whole
    ]
    assert live.seconds_left(runs, 3) == pytest.approx({"slow": 90.0, "fast": 10.0, "new": 100.0})


def test_nothing_is_left_to_guess_before_the_first_row_and_after_the_last() -> None:
    assert live.seconds_left([progress("a", 1, 0.0, 0.0, "running")], 1) == {}
    assert live.seconds_left([progress("a", 1, 1.0, 9.0, FINISHED)], 1) == {}


def test_a_row_from_before_the_first_step_tells_no_pace() -> None:
    begun = Progress(Planned("a", 100, 1.0), [row(0, wall_s=0.0)], "running")
    other = Progress(Planned("b", 100, 1.0), [row(50, wall_s=10.0)], "running")
    assert live.seconds_left([begun], workers=1) == {}
    assert live.seconds_left([begun, other], workers=2) == {"a": 20.0, "b": 10.0}


def test_the_table_fits_a_small_terminal_at_full_length() -> None:
    runs = []
    for arm, seed in itertools.product(ARMS, range(3)):
        errors = {"eval/train_error_pct": 41.5, "test/error_pct": 43.75}
        rows = [row(64000, 3600.0, **errors)]
        runs.append(Progress(Planned(f"{arm}-s{seed}", 64000, 1.0), rows, DIVERGED))
    text = shown(runs)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    cells = ["3/3", "64000/64000", "0.051", "61.23", "41.50", "43.75", "12346", "3", "diverged"]
    assert lines_by_arm(text)["residual-110"] == cells


def test_each_arm_shows_its_run_at_work(tmp_path: Path) -> None:
    end(tmp_path, "plain-110-s0")
    sweep = Sweep(tmp_path, PLAN)
    clean = {"eval/train_subset_error_pct": 50.5, "test/subset_error_pct": 52.5}
    begin(tmp_path, "plain-110-s1", row(100, 30.0, **clean), row(200, 60.0)).close()
    for seed in range(2):
        end(tmp_path, f"residual-110-s{seed}", DIVERGED if seed else FINISHED)
    text = shown(sweep.look())
    arms = lines_by_arm(text)
    running = ["1/2", "200/400", "0.051", "61.23", "50.50", "52.50", "12346", "60", "s", "running"]
    assert arms["plain-110"] == running
    assert arms["residual-110"][-2:] == ["1", "diverged"]
    assert arms["plain-18"][0] == "0/2"
    assert arms["plain-18"][-1] == "waiting"
    assert "3/8 runs  about" in text
    stopped = shown(sweep.look(), over=True)
    assert lines_by_arm(stopped)["plain-110"][-1] == "stopped"
    assert "about" not in stopped


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REFRESH_S", 0.0)


def steps(study: Path) -> Iterator[bool]:
    """A sweep of two runs, a step each time it is asked whether it goes on."""
    writer = begin(study, "plain-18-s1", row(25))
    yield True
    writer.close()
    end(study, "plain-18-s1")
    yield True
    end(study, "residual-18-s0", DIVERGED)
    yield False


@pytest.mark.usefixtures("at_once")
def test_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end(tmp_path, "plain-18-s0")  # in an earlier call: not news
    running = steps(tmp_path)
    live.watch(Sweep(tmp_path, PLAN), lambda: next(running), Console(file=io.StringIO()))
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert told == [
        ["plain-18-s1", "finished", "train", "41.50", "%", "test", "43.75", "%"],
        ["residual-18-s0", "diverged", "at", "iteration", "25"],
    ]


@pytest.mark.usefixtures("at_once")
def test_a_line_from_time_to_time_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LINE_EVERY_S", 0.0)
    running = steps(tmp_path)
    live.watch(Sweep(tmp_path, PLAN), lambda: next(running), Console(file=io.StringIO()))
    # 1 s for the 25 iterations: 15 s to go, and 16 s for each of the seven others.
    assert "  1 %  0/8 runs  about 2 min left" in capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("at_once")
def test_a_table_on_a_terminal_and_its_last_state_stays(tmp_path: Path) -> None:
    running, out = steps(tmp_path), io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=80, height=24)
    live.watch(Sweep(tmp_path, PLAN), lambda: next(running), console)
    drawn = out.getvalue()
    assert 0 < drawn.index("running") < drawn.index("stopped")
    assert "\x1b[?25l" in drawn  # the cursor goes, and is back at the end
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("stopped")
    last = drawn[drawn.rindex("iteration") :]
    assert "2/8 runs" in last
    assert "diverged" not in last.split("residual-18")[0]


def test_a_record_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    """Told by a change that leaves size and time as they are."""
    end(tmp_path, "plain-18-s0")
    sweep = Sweep(tmp_path, PLAN)
    before = sweep.look()
    path = tmp_path / "runs" / "plain-18-s0" / "metrics.jsonl"
    stat, text = path.stat(), path.read_text()
    path.write_text(text.replace("41.5", "14.5"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert sweep.look() == before
    path.write_text(text.replace("41.5", "141.5"))
    assert sweep.look() != before


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (1.5e6, "17.4 days"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert live.duration(seconds) == text


def test_a_record_of_another_program_may_lack_what_is_shown(tmp_path: Path) -> None:
    begin(tmp_path, "plain-18-s0", {"iteration": 40}).close()
    runs = Sweep(tmp_path, PLAN).look()
    assert "40/400" in shown(runs)
    assert set(live.seconds_left(runs, 1).values()) == {0.0}
