"""What checkpoints cost is of the default cadence and preset, and of runs really continued."""

import sys
from pathlib import Path

import pytest
from tests.helpers import TINY

from degradation.benchmark import checkpoints, probes
from degradation.benchmark.startup import FIRST_STEP

COMMAND = (sys.executable, "-m", "degradation", "data=shapes", "tracking=off", *TINY, *FIRST_STEP)


@pytest.mark.slow
def test_shares_and_resumes(cifar10_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "DEPTHS", (8,))
    monkeypatch.setattr(checkpoints, "ROUNDS", 1)
    monkeypatch.setattr(checkpoints, "STARTS", 1)
    monkeypatch.setattr(checkpoints, "run_command", lambda _: COMMAND)
    part = checkpoints.measure(str(cifar10_root))
    assert set(part) == {"residual-8/checkpoint", "resume"}
    assert (part["residual-8/checkpoint"]["target"], part["resume"]["unit"]) == ("at most 1", "s")
    assert probes.quick(8).trainer.checkpoint_every == 120
