"""How far a sweep is: what its records and locks tell."""

import os
import time
from pathlib import Path

import pytest
from tests.watch.watched import ARMS, PLAN, begin, end, locked, row

from degradation import locks
from degradation.records import DIVERGED, FINISHED
from degradation.watch import progress
from degradation.watch.progress import Planned, Progress, Sweep


def states(sweep: Sweep, over: bool = False) -> dict[str, tuple[str, float]]:
    return {run.plan.name: (run.status, run.fraction) for run in sweep.look(over)}


def test_a_run_is_at_work_while_its_lock_is_held(tmp_path: Path) -> None:
    begin(tmp_path, "plain-18-s0", row(100)).close()  # left by an interrupted sweep
    sweep = Sweep(tmp_path, PLAN)
    assert states(sweep)["plain-18-s0"] == ("stopped", 0.25)
    assert states(sweep)["plain-110-s0"] == ("not begun", 0.0)
    with locked(tmp_path, "plain-110-s0"):
        assert states(sweep)["plain-110-s0"] == ("running", 0.0)
        writer = begin(tmp_path, "plain-110-s0")
        for written in (row(100), row(200)):
            writer.write(written)
            assert states(sweep)["plain-110-s0"] == ("running", written["iteration"] / 400)
        writer.close()
    assert states(sweep)["plain-110-s0"] == ("stopped", 0.5)
    end(tmp_path, "residual-18-s0")
    end(tmp_path, "residual-18-s1", DIVERGED)
    assert states(sweep)["residual-18-s0"] == ("finished", 1.0)
    assert states(sweep)["residual-18-s1"] == ("diverged", 1.0)


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_of_a_sweep_with_a_log_it_is_known_what_waits_and_what_failed(
    tmp_path: Path,
) -> None:
    begin(tmp_path, "plain-18-s0", row(100)).close()  # by an interrupted sweep, ten minutes ago
    for name, ago in (("plain-18-s0", 600), ("plain-18-s1", 30)):
        with locked(tmp_path, name):
            pass
        aged(tmp_path / "runs" / name / locks.LOCK, ago)
    with locks.hold(tmp_path / "sweep.log.lock"):
        aged(tmp_path / "sweep.log.lock", 60)  # a minute at work
        own = Sweep(tmp_path, PLAN, is_own=True)
        assert states(own)["plain-18-s0"] == ("waiting", 0.25)
        assert states(own)["plain-18-s1"] == ("failed", 0.0)
        assert states(own)["residual-18-s0"] == ("waiting", 0.0)
        assert states(own, over=True)["plain-18-s0"][0] == "stopped"
        assert states(own, over=True)["residual-18-s0"][0] == "not begun"
        watched = states(Sweep(tmp_path, PLAN))  # from elsewhere, whose plan it is nobody knows
        assert [watched[f"plain-18-s{seed}"][0] for seed in (0, 1)] == ["stopped", "failed"]
        with locks.hold(tmp_path / "sweep.2.log.lock"):  # the one may take over from the other
            assert states(own)["plain-18-s1"][0] == "waiting"
    assert states(own)["plain-18-s1"][0] == "waiting"  # nobody holds the lock: begun how long ago?


def test_the_most_runs_seen_at_work_are_the_workers(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, PLAN)
    with locked(tmp_path, "plain-110-s0"), locked(tmp_path, "plain-110-s1"):
        sweep.look()
    sweep.look()
    assert sweep.workers == 2


def made(name: str, cost: float, done: float, wall_s: float, status: str) -> Progress:
    rows = [row(int(1000 * done), wall_s)] if done else []
    return Progress(Planned(name, 1000, cost), rows, status)


def test_seconds_left_by_hand() -> None:
    """Two workers, 10 s for each unit of cost; the third takes over where a is done, and so on."""
    runs = [
        made("ended", 4, 1.0, 40.0, FINISHED),
        made("a", 4, 0.5, 20.0, "running"),  # 20 s left
        made("b", 4, 0.25, 10.0, "running"),  # 30 s left
        made("c", 2, 0.5, 10.0, "stopped"),  # begun earlier: 10 s, from 20 s on
        made("d", 2, 0.0, 0.0, "not begun"),  # 20 s, from 30 s on
        made("e", 1, 0.0, 0.0, "waiting"),
        made("failed", 1, 0.0, 0.0, "failed"),
    ]
    left = progress.seconds_left(runs, workers=2)
    assert left == pytest.approx({"a": 20.0, "b": 30.0, "c": 30.0, "d": 50.0, "e": 40.0})
    assert progress.fraction_done(runs) == pytest.approx((4 + 2 + 1 + 1) / 18)


def test_a_run_at_work_has_a_pace_of_its_own() -> None:
    runs = [
        made("slow", 1, 0.5, 90.0, "running"),
        made("fast", 1, 0.5, 10.0, "running"),
        made("new", 1, 0.0, 0.0, "running"),  # at the pace of the two: 100 s for a whole
    ]
    expected = {"slow": 90.0, "fast": 10.0, "new": 100.0}
    assert progress.seconds_left(runs, 3) == pytest.approx(expected)


def test_nothing_is_left_to_guess_where_nobody_is_at_work() -> None:
    assert progress.seconds_left([made("a", 1, 0.0, 0.0, "running")], 1) == {}
    assert progress.seconds_left([made("a", 1, 1.0, 9.0, FINISHED)], 1) == {}
    assert progress.seconds_left([made("a", 1, 0.5, 9.0, "stopped")], 1) == {}


def test_a_row_from_before_the_first_step_tells_no_pace() -> None:
    begun = Progress(Planned("a", 100, 1.0), [row(0, wall_s=0.0)], "running")
    other = Progress(Planned("b", 100, 1.0), [row(50, wall_s=10.0)], "running")
    assert progress.seconds_left([begun], workers=1) == {}
    assert progress.seconds_left([begun, other], workers=2) == {"a": 20.0, "b": 10.0}


def test_only_what_is_new_in_a_record_is_read(tmp_path: Path) -> None:
    """Told by a change of what has been read, which leaves its size and the file as they are."""
    writer = begin(tmp_path, "plain-18-s0", row(25))
    sweep = Sweep(tmp_path, PLAN)
    sweep.look()
    path = tmp_path / "runs" / "plain-18-s0" / "metrics.jsonl"
    with path.open("r+") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace("61.234", "16.234"))
    writer.write(row(50))
    (run,) = [run for run in sweep.look() if run.rows]
    assert [each["iteration"] for each in run.rows] == [25, 50]
    assert [each["train/error_pct"] for each in run.rows] == [61.234, 61.234]
    writer.close()
    begin(tmp_path, "plain-18-s0", row(25), row(30), row(40)).close()  # continued: a new file
    (run,) = [run for run in sweep.look() if run.rows]
    assert [each["iteration"] for each in run.rows] == [25, 30, 40]


def test_half_a_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    begin(tmp_path, "plain-18-s0", row(25)).close()
    sweep = Sweep(tmp_path, PLAN)
    path = tmp_path / "runs" / "plain-18-s0" / "metrics.jsonl"
    for part, reached in (('{"iteration"', 25), (": 50}", 25), ("\n", 50)):
        with path.open("a") as file:
            file.write(part)
        (run,) = [run for run in sweep.look() if run.rows]
        assert run.rows[-1]["iteration"] == reached


def test_a_damaged_record_is_that_runs_alone(tmp_path: Path) -> None:
    end(tmp_path, "plain-18-s1")
    begin(tmp_path, "plain-18-s0", row(25)).close()
    sweep = Sweep(tmp_path, PLAN)
    with (tmp_path / "runs" / "plain-18-s0" / "metrics.jsonl").open("a") as file:
        file.write("nonsense\n")
    found = states(sweep)
    assert (found["plain-18-s0"][0], found["plain-18-s1"][0]) == ("damaged", "finished")
    assert len(ARMS) * 2 == len(found)
