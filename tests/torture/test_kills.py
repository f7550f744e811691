"""Kills at random moments; the slow suite has the fifty, `make torture` prints them."""

from pathlib import Path

import pytest
from tests.torture.kills import Killed, as_json, broken, kill_runs, last_iteration


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 50])
def test_killed_runs_end_as_the_undisturbed_one(kills: int, tmp_path: Path) -> None:
    runs = kill_runs(kills, seed=kills, folder=tmp_path)
    assert sum(len(run.signals) for run in runs) == kills
    assert [run.fault for run in runs if run.fault] == []
    assert [told for run in runs for told in run.tracebacks] == []


ROW = '{"iteration": %d}\n'


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", ""),
        (ROW % 1 + ROW % 2, ""),
        (ROW % 1 + '{"itera', ""),
        (ROW % 1 + ROW % 3, "a gap or a duplicate: [1, 3]"),
        (ROW % 1 + ROW % 1, "a gap or a duplicate: [1, 1]"),
        (ROW % 1 + '{"itera\n' + ROW % 2, "a line of the record is none: "),
    ],
)
def test_a_broken_record_is_found(lines: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "outputs/adhoc/quick/runs/plain-8-s0/metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(lines)
    assert last_iteration(tmp_path) == lines.count("\n")
    assert broken(tmp_path).startswith(told)
    assert bool(broken(tmp_path)) == bool(told)


def test_kills_survived_are_those_of_whole_runs() -> None:
    runs = [
        Killed(["SIGKILL", "SIGTERM"], [3, 9]),
        Killed(["SIGKILL"], [7], ["Traceback"], "a gap"),
    ]
    assert as_json(runs) == {
        **{"tried": 3, "survived": 2, "SIGKILL": 2, "SIGTERM": 1},
        **{"runs": 2, "runs_lost": 1, "tracebacks": 1},
    }
