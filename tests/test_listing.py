"""What a multirun says at its end, of real multiruns."""

import shlex
from pathlib import Path

import filelock
import pytest
from tests.helpers import TINY, call

RUN = ("data=shapes", "tracking=off", *TINY[1:])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The last lines of stdout, from the count of runs on."""
    lines = capsys.readouterr().out.splitlines()
    (first,) = [number for number, line in enumerate(lines) if " runs: " in line]
    return lines[first:]


@pytest.mark.usefixtures("here")
def test_every_arm_with_its_runs_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = (
        "-m",
        *RUN,
        "model.depth=8,7,10",
        "seed=0,1",
        "+variant=[plain],[plain,pre_activation]",
    )
    assert call(*RUN, "model.depth=8", "+variant=[plain]", "seed=1") == 0
    (run,) = Path().glob("outputs/adhoc/quick/runs/plain-8-*-s1")
    locked = run.parent / run.name.replace("-s1", "-s0")
    locked.mkdir()
    capsys.readouterr()
    with filelock.FileLock(locked / ".lock"):
        assert call(*sweep) == 2
    head, *arms, left = told(capsys)
    assert head == "12 runs: 7 ended, 1 not, 4 refused"
    states = {line.split()[0][:8] + ("pre" if "orderpre" in line else ""): line for line in arms}
    assert len(arms) == 4
    assert states["plain-8-"].endswith(" s0 not begun, s1 finished")
    assert states["plain-10"].endswith(" s0 finished, s1 finished")
    assert left == f"what is left: degradation {shlex.join(sweep)}"
    assert call(*shlex.split(left.partition("degradation ")[2])) == 2  # depth 7 stays wrong
    assert told(capsys)[0] == "12 runs: 8 ended, 0 not, 4 refused"


@pytest.mark.usefixtures("here")
def test_one_run_has_no_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*RUN, "model.depth=8") == 0
    assert " runs: " not in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_damaged_run_and_a_quote_are_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ("-m", *RUN, "model.depth=8", "seed=0,1", r"data.root='/it\'s'")
    assert call(*sweep) == 0
    assert told(capsys)[0] == "2 runs: 2 ended, 0 not, 0 refused"
    (summary,) = Path().glob("outputs/adhoc/quick/runs/*-s0/summary.json")
    summary.write_text("{")
    assert call(*sweep) == 2
    head, arm, left = told(capsys)
    assert head == "2 runs: 1 ended, 1 not, 0 refused"
    assert arm.endswith(" s0 damaged, s1 finished")
    assert left == f"what is left: degradation {shlex.join(sweep)}"
