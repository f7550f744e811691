"""Runs side by side: the driver's turns, and records that do not show who ran beside whom."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from tests.helpers import (
    TINY,
    call,
    command,
    lines_of,
    noise_data,
    read_json,
    read_lines,
    same_run,
    start,
    tiny_config,
    wait_for,
)
from tests.tracking.test_mirror import config_in, read_wandb

from degradation import fleet
from degradation.benchmark import startup
from degradation.config import ConfigError, DataConfig
from degradation.data.batches import Data
from degradation.records import read_run

RUN = ("data=shapes", *TINY)
AXES = ("model.kind=plain,residual", "seed=0,1")
FLEET = "hydra/launcher=fleet"


# the driver


def turns(name: str, count: int, log: list[str]) -> Generator[None, None, None]:
    try:
        for number in range(count):
            log.append(f"{name}{number}")
            yield
    finally:
        log.append(f"{name} closed")


def test_each_has_its_turn_until_all_have_ended() -> None:
    log: list[str] = []
    jobs = [lambda: turns("a", 1, log), lambda: turns("b", 3, log), lambda: turns("c", 2, log)]
    assert fleet.drive(jobs) == [0, 0, 0]
    assert log == ["a0", "b0", "c0", "a closed", "b1", "c1", "b2", "c closed", "b closed"]


def test_the_next_in_line_begins_when_one_has_ended() -> None:
    log: list[str] = []
    jobs = [lambda name=name: turns(name, 2, log) for name in "abc"]
    assert fleet.drive(jobs, side_by_side=2) == [0, 0, 0]
    assert log == ["a0", "b0", "a1", "b1", "a closed", "b closed", "c0", "c1", "c closed"]


def test_nothing_to_drive() -> None:
    assert fleet.drive([]) == []


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ConfigError("model.depth: 7; accepted: even numbers from 8"), 2, "error: model.depth: 7"),
        (RuntimeError("CUDA error"), 1, "RuntimeError: CUDA error"),
    ],
)
def test_a_run_that_fails_goes_alone(
    error: Exception, status: int, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log: list[str] = []

    def failing() -> Generator[None, None, None]:
        yield
        raise error

    jobs = [lambda: turns("a", 3, log), failing, lambda: turns("b", 3, log)]
    assert fleet.drive(jobs) == [0, status, 0]
    assert log[-2:] == ["a closed", "b closed"]
    assert {"a2", "b2"} <= set(log)
    err = capfd.readouterr().err
    assert told in err
    assert ("Traceback" in err) == (status == 1)


def test_ctrl_c_closes_every_run() -> None:
    log: list[str] = []

    def interrupted() -> Generator[None, None, None]:
        yield
        raise KeyboardInterrupt

    jobs = [lambda: turns("a", 9, log), interrupted, lambda: turns("b", 9, log)]
    with pytest.raises(KeyboardInterrupt):
        fleet.drive(jobs)
    assert log == ["a0", "b0", "a1", "a closed", "b closed"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError("No space left"), "error: No space left"), (RuntimeError("a bug"), "Traceback")],
)
def test_a_run_that_fails_as_it_is_closed_leaves_the_others_theirs(
    error: Exception, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log: list[str] = []

    def unclosable() -> Generator[None, None, None]:
        try:
            yield
        finally:
            raise error

    def interrupted() -> Generator[None, None, None]:
        yield
        raise KeyboardInterrupt

    jobs = [unclosable, lambda: turns("a", 9, log), interrupted, lambda: turns("b", 9, log)]
    with pytest.raises(KeyboardInterrupt):
        fleet.drive(jobs)
    assert log == ["a0", "b0", "a1", "a closed", "b closed"]
    assert told in capfd.readouterr().err


def test_another_ctrl_c_does_not_wait_until_all_are_closed() -> None:
    log: list[str] = []
    last = turns("a", 9, log)

    def interrupted() -> Generator[None, None, None]:
        yield
        raise KeyboardInterrupt

    def interrupted_again() -> Generator[None, None, None]:
        try:
            while True:
                yield
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fleet.drive([interrupted_again, interrupted, lambda: last])
    assert log == ["a0"]


def test_runs_on_the_same_data_share_one_copy() -> None:
    loads: list[str] = []

    def load(cfg: DataConfig, device: torch.device) -> Data:
        loads.append(cfg.name)
        return noise_data(tiny_config())

    shared = fleet.sharing(load)
    configs = [tiny_config(*extra).data for extra in ((), (), ("data.augment=false",))]
    first, second, other = (shared(cfg, torch.device("cpu")) for cfg in configs)
    assert first is second
    assert first is not other
    assert len(loads) == 2


# the launcher


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four runs one after the other."""
    root = tmp_path_factory.mktemp("alone")
    assert call("-m", *RUN, *AXES, "tracking=off", f"output_root={root}") == 0
    return root / "adhoc/quick/runs"


FIRST_QUESTION = """
import os, sys, torch
from degradation.command import main

def ask():
    print(os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS"), flush=True)
    os._exit(0)

torch.cuda.is_available = ask
main()
"""


def test_queues_are_asked_for_before_cuda_is_asked_for_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_MAX_CONNECTIONS", raising=False)
    command = [sys.executable, "-c", FIRST_QUESTION, "-m", *RUN, *AXES, FLEET]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "32\n"


@pytest.fixture
def offline_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("offline_account")
def test_fleet_leaves_the_records_of_its_runs_alone(alone: Path, tmp_path: Path) -> None:
    status, out, err = command(["-m", *RUN, *AXES, FLEET, "tracking=offline"], tmp_path)
    assert (status, err) == (0, "")
    study = tmp_path / "outputs/adhoc/quick"
    names = sorted(path.name for path in alone.iterdir())
    assert sorted(path.name for path in (study / "runs").iterdir()) == names
    firsts = [line.split()[0] for line in out.splitlines()[:4]]
    assert sorted(firsts) == names  # in turns: each has its first row before one has its second
    copies = list(map(read_wandb, study.glob("wandb/offline-run-*/*.wandb")))
    for name in names:
        run_dir = study / "runs" / name
        same_run(run_dir, alone / name)
        ours, theirs = (read_json(path / "environment.json") for path in (run_dir, alone / name))
        overrides = [word for word in ours["command"].split() if "seed" in word or "kind" in word]
        assert overrides == [w for w in theirs["command"].split() if "seed" in w or "kind" in w]
        made_with = read_run(run_dir).config
        [copy] = [
            found
            for found in copies
            if all(config_in(found)[key] == made_with[key] for key in ("seed", "model"))
        ]
        rows = [r for r in copy if r.WhichOneof("record_type") == "history"]
        assert len(rows) == len(lines_of(run_dir)) == 4


def test_finished_runs_of_a_fleet_are_found(alone: Path, tmp_path: Path) -> None:
    shutil.copytree(alone, tmp_path / "adhoc/quick/runs")
    dirs = sorted((tmp_path / "adhoc/quick/runs").iterdir())
    for name in ("summary.json", "checkpoint.pt", "metrics.jsonl"):
        (dirs[0] / name).unlink()
    arguments = ("-m", *RUN, *AXES, FLEET, "tracking=off", f"output_root={tmp_path}")
    before = (dirs[1] / "metrics.jsonl").stat().st_mtime_ns
    assert call(*arguments) == 0
    assert (dirs[1] / "metrics.jsonl").stat().st_mtime_ns == before
    same_run(dirs[0], alone / dirs[0].name)


def test_a_damaged_run_does_not_take_the_others_with_it(
    alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One with a checkpoint that is none, one that diverges; two that go through."""
    names = sorted(path.name for path in alone.iterdir())
    damaged = tmp_path / "adhoc/quick/runs" / names[1]
    shutil.copytree(alone / names[1], damaged)
    (damaged / "summary.json").unlink()
    (damaged / "checkpoint.pt").write_bytes(b"no checkpoint")
    arguments = (*RUN, "model.kind=plain", "seed=0,1", "optim.lr=0.1,1e30", FLEET, "tracking=off")
    extra = ("schedule.warmup=linear", f"output_root={tmp_path}")
    assert call("-m", *arguments, *extra) == 2
    errors = capfd.readouterr().err.splitlines()
    assert [line for line in errors if line.startswith("error: ")] == [
        f"error: {damaged}/checkpoint.pt: cut short or altered, not a checkpoint of this run; "
        "remove the run directory to start this run again"
    ]
    same_run(tmp_path / "adhoc/quick/runs" / names[0], alone / names[0])
    statuses = {
        path.parent.name: read_json(path)["status"]
        for path in (tmp_path / "adhoc/quick/runs").glob("*/summary.json")
    }
    assert names[1] not in statuses
    assert sorted(statuses.values()) == ["diverged", "diverged", "finished"]


@pytest.mark.parametrize(
    ("sign", "status"),
    [pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow), (signal.SIGINT, 130)],
)
def test_stopped_fleet_continues_as_if_it_had_not_been(
    tmp_path: Path, sign: signal.Signals, status: int
) -> None:
    long = ("schedule.iterations=120", "schedule.milestones=[80]", "trainer.checkpoint_every=20")
    arguments = ["-m", *RUN, *long, *AXES, FLEET, "tracking=off"]
    process = start(arguments, tmp_path, preexec_fn=startup.obey_interrupts)
    runs = tmp_path / "outputs/adhoc/quick/runs"

    def reached() -> list[int]:
        rows = [read_lines(path / "metrics.jsonl") for path in runs.glob("*")]
        return [found[-1]["iteration"] for found in rows if found]

    wait_for(lambda: len(reached()) == 4 and min(reached()) >= 40, process)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == ("interrupted; the same command continues\n" if status == 130 else "")
    assert max(reached()) < 120
    assert not list(runs.glob("*/summary.json"))
    assert call(*arguments, f"output_root={tmp_path / 'outputs'}") == 0
    assert call("-m", *RUN, *long, *AXES, "tracking=off", f"output_root={tmp_path / 'alone'}") == 0
    for run_dir in runs.iterdir():
        same_run(run_dir, tmp_path / "alone/adhoc/quick/runs" / run_dir.name)
    assert all(lines_of(a) != lines_of(b) for a, b in itertools.pairwise(sorted(runs.iterdir())))
