"""`make status`: a study that is finished, at work, interrupted, not begun, or none."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.helpers import TINY, call, iterations, on_a_terminal, shown_by, start, wait_for
from tests.small_study import ROOT, environment, make_checkout

from degradation import cli
from degradation.studies import status

RUN = ("data=shapes", "tracking=off", *TINY)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("HYDRA_FULL_ERROR", "DEGRADATION_FULL_ERROR"):
        monkeypatch.setenv(name, "0")
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str, seeds: str = "") -> list[str]:
    """The lines of `status <experiment> <preset>`."""
    capsys.readouterr()
    experiment, preset, *overrides = arguments
    assert cli.guard(lambda: status.status(experiment, preset, seeds, overrides)) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("here")
def test_a_study_that_nobody_has_begun(capsys: pytest.CaptureFixture[str]) -> None:
    head, columns, *arms, whole = told(capsys, "depth_sweep", "paper", seeds="0 1")
    assert head == "depth_sweep, preset paper, in outputs/depth_sweep/paper"
    assert columns.split()[:3] == ["arm", "runs", "iteration"]
    assert len(arms) == 8
    assert {" ".join(arm.split()[1:]) for arm in arms} == {"0/2 not begun"}
    assert arms[0].split()[0] == "plain-110"
    assert whole == "0 %  0/16 runs"


def test_runs_without_a_study_finished_at_work_and_interrupted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "adhoc", "quick") == [
        "adhoc, preset quick, in outputs/adhoc/quick",
        "no runs",
    ]
    assert call("-m", *RUN, "model.kind=plain,residual") == 0
    _, _, *arms, whole = told(capsys, "adhoc", "quick")
    assert [arm.split()[1] for arm in arms] == ["1/1", "1/1"]
    assert {arm.split()[-1] for arm in arms} == {"done"}
    assert {arm.split()[2] for arm in arms} == {"20/20"}
    assert whole == "100 %  2/2 runs"
    assert told(capsys, "adhoc", "quick", seeds="0")[-1] == whole
    assert told(capsys, "adhoc", "quick", seeds="1 10")[-1] == "no runs"

    endless = start([*RUN, "seed=1", "schedule.iterations=1000000"], here)
    try:
        wait_for(lambda: any(name.endswith("-s1") for name in iterations(here)), endless)
        *_, whole = told(capsys, "adhoc", "quick")
        assert "2/3 runs, 1 running  about" in whole
    finally:
        endless.send_signal(signal.SIGKILL)
        endless.communicate()
    *_, whole = told(capsys, "adhoc", "quick")
    assert whole.endswith("2/3 runs, 1 stopped")


def test_a_sweep_at_work_shows_its_own_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not those of the study that nobody is at work on."""
    axes = ["+experiment=depth_sweep", "model.depth=8", "seed=0,5"]
    endless = start(["-m", *axes, *RUN[:2], *TINY[1:], "schedule.iterations=1000000"], here)
    try:
        wait_for(lambda: bool(list(here.glob("outputs/depth_sweep/quick/runs/*/.lock"))), endless)
        _, _, *arms, whole = told(capsys, "depth_sweep", "quick")
        assert {line.partition("-augment")[0] for line in arms} == {"plain-8", "residual-8"}
        assert "0/4 runs, 1 running" in whole
        *_, whole = told(capsys, "depth_sweep", "quick", seeds="0")
        assert "0/8 runs" in whole  # what is asked for
    finally:
        endless.send_signal(signal.SIGKILL)
        endless.communicate()
    *_, whole = told(capsys, "depth_sweep", "quick")
    assert "/25 runs" in whole


def test_a_sweep_of_the_studys_own_runs_counts_each_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = ["+experiment=depth_sweep_shapes", "model.depth=18", "seed=0,1", "tracking=off"]
    process = start(["-m", *axes], here)
    try:
        locks = "outputs/depth_sweep_shapes/quick/runs/plain-18-s0/.lock"
        wait_for(lambda: bool(list(here.glob(locks))), process)
        _, _, *arms, whole = told(capsys, "depth_sweep_shapes", "quick")
        assert [arm.split()[:2] for arm in arms] == [["plain-18", "0/2"], ["residual-18", "0/2"]]
        assert "0/4 runs" in whole
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.usefixtures("here")
def test_a_run_whose_config_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("-m", *RUN, "model.kind=plain,residual") == 0
    (spoilt,) = Path().glob("outputs/adhoc/quick/runs/plain*/config.yaml")
    for content in ("", "[1]", "model: {depth: [", "model: {depth: ${seed}}"):
        spoilt.write_text(content)
        _, _, *arms, whole = told(capsys, "adhoc", "quick")
        states = {line.partition("-")[0]: line.split()[-1] for line in arms}
        assert states == {"plain": "damaged", "residual": "done"}
        assert whole.endswith("  1/2 runs, 1 damaged")


@pytest.mark.usefixtures("here")
def test_of_other_seeds_those_that_were_begun(capsys: pytest.CaptureFixture[str]) -> None:
    study = ("+experiment=depth_sweep", "seed=7", "model.kind=plain", "model.depth=18")
    assert call(*study, *RUN[:2], "output_root=elsewhere", *TINY[1:]) == 0
    head, *_, whole = told(capsys, "depth_sweep", "quick", "output_root=elsewhere")
    assert head.endswith("in elsewhere/depth_sweep/quick")
    assert whole.endswith("1/25 runs")
    *_, whole = told(capsys, "depth_sweep", "quick", "output_root=elsewhere", seeds="0")
    assert whole == "0 %  0/8 runs"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nothing", "quick", ""), "experiment: 'nothing'; accepted: "),
        (("depth_sweep", "slow", ""), "preset: 'slow'; accepted: paper, quick"),
        (("depth_sweep", "", ""), "preset: ''; accepted: a name"),
        (("depth_sweep", "quick", "0,x"), "seeds: '0,x'; accepted: whole numbers from 0"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    arguments: tuple[str, str, str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.guard(lambda: status.status(*arguments)) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert line in error


def test_from_make_once_without_a_terminal(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    done = subprocess.run(
        ["make", "status", "EXPERIMENT=small_shapes"],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 %  0/4 runs"
    assert "\x1b" not in done.stdout


def test_on_a_terminal_it_stays_until_ctrl_c(tmp_path: Path) -> None:
    pid, fd = on_a_terminal([str(ROOT / "scripts" / "status.py"), "--seeds=0"], tmp_path)
    drawn = shown_by(fd, until=b"0/8 runs")
    time.sleep(0.1)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.write(fd, b"\x03")
    _, found = os.waitpid(pid, 0)
    os.close(fd)
    assert os.waitstatus_to_exitcode(found) == 0
    assert b"Traceback" not in drawn
