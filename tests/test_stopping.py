"""Signals to real sweeps: every run under way leaves a checkpoint of its last step, none is left
training, and the same command makes the runs that nobody disturbed.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
import torch
from tests.helpers import (
    command,
    descendants,
    fresh_state,
    is_alive,
    iterations,
    noise_data,
    read_lines,
    same_run,
    start,
    tiny_config,
    wait_for,
    without_times,
)
from tests.test_resume import LONG, obey_ctrl_c

from degradation import stopping
from degradation.loop import train
from degradation.stopping import Stopped

SWEEP = ("-m", *LONG, "seed=0,1,2", "trainer.checkpoint_every=0")
"""Without checkpoints of its own: what is there was saved because of the signal."""
POOL = "hydra/launcher=pool"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of the sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    assert command(SWEEP, folder)[0] == 0
    return folder


def same_runs(one: Path, other: Path) -> None:
    runs = sorted(path.relative_to(one) for path in one.glob("outputs/*/*/runs/*"))
    assert len(runs) == 3
    for run in runs:
        same_run(one / run, other / run)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "fleet", "pool"])
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_sweep_told_to_stop_goes_on_where_each_run_was(
    alone: Path, tmp_path: Path, launcher: str, sign: signal.Signals
) -> None:
    """The signal goes to the command alone, as `kill` sends it, not to its workers."""
    arguments = (*SWEEP, f"hydra/launcher={launcher}")
    process = start(arguments, tmp_path, preexec_fn=obey_ctrl_c)
    at_work = 1 if launcher == "basic" else 2
    wait_for(lambda: sum(n >= 60 for n in iterations(tmp_path).values()) >= at_work, process)
    family = descendants(process.pid)
    process.send_signal(sign)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + sign
    assert "the same command continues\n" in err
    assert "Traceback" not in err
    wait_for(lambda: not any(map(is_alive, family)))
    begun = {path.parent for path in tmp_path.glob("outputs/*/*/runs/*/metrics.jsonl")}
    for run_dir in begun:
        saved = torch.load(run_dir / "checkpoint.pt", weights_only=True)["progress"]["iteration"]
        assert 0 <= saved - read_lines(run_dir / "metrics.jsonl")[-1]["iteration"] <= 10
    assert command(arguments, tmp_path)[0] == 0
    same_runs(tmp_path, alone)


@pytest.mark.slow
def test_workers_of_a_killed_pool_stop_too(alone: Path, tmp_path: Path) -> None:
    arguments = (*SWEEP, POOL)
    process = start(arguments, tmp_path)
    wait_for(lambda: sum(n >= 60 for n in iterations(tmp_path).values()) >= 2, process)
    family = descendants(process.pid)
    process.kill()
    process.communicate()
    locks = list(tmp_path.glob("outputs/*/*/runs/*/.lock"))

    def are_free() -> bool:
        try:
            for lock in locks:
                with filelock.FileLock(lock, timeout=0):
                    pass
        except filelock.Timeout:
            return False
        return True

    wait_for(are_free)
    assert max(iterations(tmp_path).values()) < 600  # they did not train to the end
    for pid in filter(is_alive, family):  # idle, until the pool's own limit
        os.kill(pid, signal.SIGKILL)
    assert command(arguments, tmp_path)[0] == 0
    same_runs(tmp_path, alone)


def test_stop_in_an_evaluation_continues_with_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps since the last row have been taken, the row has not been written."""
    cfg = tiny_config("trainer.record_every=10")
    data = noise_data(cfg)
    through = list(train(fresh_state(cfg), data, cfg))
    state = fresh_state(cfg)
    calls = []

    def stop_in_the_evaluation() -> None:
        calls.append(state.iteration)
        if calls.count(10) == 2:  # after the tenth step, then in the first evaluation
            raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(stopping, "check", stop_in_the_evaluation)
    with pytest.raises(Stopped):
        list(train(state, data, cfg))
    monkeypatch.undo()
    assert (state.iteration, state.recorded) == (10, -1)
    other = fresh_state(tiny_config("seed=3"))
    other.model.load_state_dict(state.model.state_dict())
    other.optimizer.load_state_dict(state.optimizer.state_dict())
    other.continue_from(state.progress())
    assert without_times(list(train(other, data, cfg))) == without_times(through)


@pytest.fixture
def by_default() -> Iterator[None]:
    """As in a terminal; what a shell starts in its background ignores Ctrl-C."""
    signs = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
    before = {sign: signal.signal(sign, signal.SIG_DFL) for sign in signs}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


@pytest.mark.usefixtures("by_default")
def test_signals_are_noted_in_training_only() -> None:
    with stopping.obeyed():
        with stopping.training():
            os.kill(os.getpid(), signal.SIGTERM)
            noted = stopping.noted()
            assert noted is not None
            assert noted.status == 143
            with pytest.raises(Stopped):
                stopping.check()
            os.kill(os.getpid(), signal.SIGTERM)  # again: still only noted
            with pytest.raises(Stopped):  # Ctrl-C after it: at once
                os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
    assert stopping.noted() is None
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("by_default")
def test_a_batch_systems_signal_is_taken_from_its_handler_only_and_given_back() -> None:
    """As submitit has it: a handler of its own for SIGUSR2, which asks for another turn."""
    with stopping.obeyed():
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    told = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: told.append(number))
    try:
        with stopping.obeyed(), stopping.training():
            os.kill(os.getpid(), signal.SIGUSR2)
            noted = stopping.noted()
            assert noted is not None
            assert noted.word == "out of time"
        assert told == []
        os.kill(os.getpid(), signal.SIGUSR2)
        assert told == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_nohup_stays_in_force() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.obeyed(), stopping.training():
            os.kill(os.getpid(), signal.SIGHUP)
            assert stopping.noted() is None
    finally:
        signal.signal(signal.SIGHUP, before)
