"""Kills at random moments; the slow suite has the fifty, `make torture` prints them."""

from pathlib import Path

import pytest
from tests.torture.kills import kill_runs


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_runs_end_as_the_undisturbed_one(kills: int, tmp_path: Path) -> None:
    runs = kill_runs(kills, seed=kills, folder=tmp_path)
    assert sum(len(run.signals) for run in runs) == kills
    assert [run.fault for run in runs if run.fault] == []
    assert [told for run in runs for told in run.tracebacks] == []
