"""Runs of two real processes, as torchrun starts them, against those of one."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import filelock
import pytest
import torch
from tests.helpers import (
    TINY,
    call,
    descendants,
    is_alive,
    iterations,
    lines_of,
    only_run,
    read_json,
    same_run,
    wait_for,
    weights,
)

RUN = ("data=shapes", "tracking=off", *TINY)
SPREAD = (*RUN, "model.bn_group_size=24")
"""Half of a batch of 48: what each of two processes normalises."""
PROBED = (*SPREAD, "trainer.probes=[gradients,responses]", "trainer.probe_every=10")
LONG = (
    *SPREAD,
    "schedule.iterations=600",
    "schedule.milestones=[400]",
    "trainer.checkpoint_every=40",
    "trainer.record_every=10",
    "trainer.eval_every=50",
)
TOLERANCE = 1e-5
"""Relative: sums over 24 images and then two processes round otherwise than those over 48."""


def start(arguments: Sequence[str], cwd: Path, processes: int = 2) -> "subprocess.Popen[str]":
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    env = os.environ | {"HYDRA_FULL_ERROR": "0", "OMP_NUM_THREADS": "1"}
    env.pop("DEGRADATION_FULL_ERROR", None)  # what a guard of this process was told
    return subprocess.Popen(
        [sys.executable, "-m", *torchrun, "-m", "degradation", *arguments],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def to_the_end(arguments: Sequence[str], cwd: Path) -> tuple[str, str]:
    process = start(arguments, cwd)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out, err


def close_rows(one: Sequence[dict[str, float]], other: Sequence[dict[str, float]]) -> None:
    """The same up to rounding, which may turn the answer on one image of 100."""
    for row, expected in zip(one, other, strict=True):
        assert row.keys() == expected.keys()
        for key, value in row.items():
            near = (
                pytest.approx(expected[key], abs=1)
                if key.endswith("error_pct")
                else pytest.approx(expected[key], rel=TOLERANCE, abs=TOLERANCE)
            )
            assert value == near, (row["iteration"], key)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    assert call(*PROBED, f"output_root={folder}") == 0
    return only_run(folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    out, err = to_the_end(PROBED, folder)
    assert len(out.splitlines()) == 5 + 1  # rows and the end, from the first process alone
    assert err == ""
    return only_run(folder / "outputs")


def test_two_processes_make_the_run_of_one(one: Path, two: Path) -> None:
    """Rows and probes; weights, momentum, and running statistics with their count."""
    assert two.name == one.name
    close_rows(lines_of(two), lines_of(one))
    ours, theirs = weights(two), weights(one)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=10 * TOLERANCE, atol=TOLERANCE)
    assert [read_json(run / "environment.json")["processes"] for run in (one, two)] == [1, 2]
    command = read_json(two / "environment.json")["command"]
    assert command.startswith("torchrun --nproc_per_node=2 -m degradation data=shapes ")


def test_the_tolerance_tells_groups_from_whole_batches(one: Path, tmp_path: Path) -> None:
    assert call(*RUN, f"output_root={tmp_path}") == 0
    whole = lines_of(only_run(tmp_path))
    rows = [row for row in lines_of(one) if row["iteration"]]
    assert abs(whole[0]["train/loss"] / rows[0]["train/loss"] - 1) > 2 * TOLERANCE


@pytest.mark.parametrize("launcher", ["basic", "fleet", "pool"])
def test_sweep_is_refused(
    launcher: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "0"}
    for name, value in torchrun.items():
        monkeypatch.setenv(name, value)
    assert call("-m", *SPREAD, "seed=0,1", f"hydra/launcher={launcher}") == 2
    assert capfd.readouterr() == (
        "",
        "error: torchrun: 2 processes for a sweep (-m, or an experiment with its own axes); "
        "accepted: one run\n",
    )
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "processes", "line"),
    [
        ("seed=1", 5, "trainer.batch_size: 48; accepted: a multiple of the 5 processes"),
        (
            "model.bn_group_size=16",
            2,
            "model.bn_group_size: 16; accepted: a divisor of 24, the images of each process "
            "(trainer.batch_size=48 over 2)",
        ),
        (
            "model.bn_group_size=0",
            2,
            "model.bn_group_size: 0, the whole batch over 2 processes, which needs CUDA; accepted "
            "on cpu: a divisor of 24, the images of each process (trainer.batch_size=48 over 2)",
        ),
        (
            "hardware.device=cuda:1",
            2,
            "hardware.device: 'cuda:1' for 2 processes; accepted: auto, cpu, cuda",
        ),
    ],
)
def test_refused(override: str, processes: int, line: str, tmp_path: Path) -> None:
    process = start((*SPREAD, "hardware.device=cpu", override), tmp_path, processes)
    out, err = process.communicate(timeout=600)
    assert process.returncode != 0
    assert out == ""
    assert [said for said in err.splitlines() if said.startswith("error: ")] == [f"error: {line}"]
    assert not re.search(r"degradation/\w+\.py", err)  # no traceback of ours
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.slow
def test_run_at_work_is_refused_by_all(two: Path) -> None:
    with filelock.FileLock(two / ".lock"):
        process = start(PROBED, two.parents[4])
        _, err = process.communicate(timeout=600)
    place = two.relative_to(two.parents[4])
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert told == [f"error: {place}: another process is at work on this run"]


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A longer run of two processes without an interruption."""
    folder = tmp_path_factory.mktemp("through")
    to_the_end(LONG, folder)
    return only_run(folder / "outputs")


def disturbed(folder: Path, passed: int, victim: int | None, sign: signal.Signals) -> str:
    """Starts the run, or continues it, sends a signal to the process of that rank, or to torchrun,
    once it has a row past an iteration, and waits until all have ended; what was said on stderr.
    """
    process = start(LONG, folder)
    wait_for(lambda: max(iterations(folder).values(), default=0) >= passed, process)
    workers = sorted(descendants(process.pid) - {process.pid})
    assert len(workers) == 2
    os.kill(process.pid if victim is None else workers[victim], sign)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    wait_for(lambda: not any(map(is_alive, workers)))
    assert not re.search(r"degradation/\w+\.py", err)  # no traceback of ours
    return err


def saved_at(run_dir: Path) -> int:
    content = torch.load(run_dir / "checkpoint.pt", weights_only=True)
    return int(content["progress"]["iteration"])


@pytest.mark.slow
def test_disturbed_run_of_two_is_the_undisturbed_one(through: Path, tmp_path: Path) -> None:
    """Bit for bit, after SIGTERM to torchrun, Ctrl-C to the second process alone, SIGKILL of the
    second, of the first, and of torchrun.
    """
    again, lost = "the same command continues", "another process of this run has ended"
    err = disturbed(tmp_path, 60, None, signal.SIGTERM)
    assert err.count(f"terminated; {again}\n") == 1
    run_dir = only_run(tmp_path / "outputs")
    assert 0 <= saved_at(run_dir) - lines_of(run_dir)[-1]["iteration"] <= 10
    err = disturbed(tmp_path, 130, 1, signal.SIGINT)
    assert err.count(f"interrupted; {again}\n") == 1
    assert err.count("exitcode  : 130") == 2
    assert 0 <= saved_at(run_dir) - lines_of(run_dir)[-1]["iteration"] <= 10
    for passed, victim in ((250, 1), (350, 0)):
        err = disturbed(tmp_path, passed, victim, signal.SIGKILL)
        assert f"error: process {1 - victim} of 2: {lost}" in err
        assert saved_at(run_dir) % 40 == 0
    disturbed(tmp_path, 450, None, signal.SIGKILL)
    assert 0 <= saved_at(run_dir) - lines_of(run_dir)[-1]["iteration"] <= 10
    to_the_end(LONG, tmp_path)
    same_run(run_dir, through)
    assert len(read_json(run_dir / "environment.json")["earlier"]) == 5


@pytest.mark.slow
def test_one_process_continues_the_run_of_two(
    through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturbed(tmp_path, 300, None, signal.SIGTERM)
    run_dir = only_run(tmp_path / "outputs")
    last = lines_of(run_dir)[-1]["iteration"]
    monkeypatch.chdir(tmp_path)
    assert call(*LONG) == 0
    found = [
        [row for row in lines_of(run) if row["iteration"] <= last + 20]
        for run in (run_dir, through)
    ]  # the longer it trains, the more comes of a difference in rounding
    assert found[0][-1]["iteration"] == last + 20
    close_rows(*found)
    environment = read_json(run_dir / "environment.json")
    assert [environment["processes"], environment["earlier"][0]["processes"]] == [1, 2]
