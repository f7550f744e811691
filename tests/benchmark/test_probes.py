"""The share of a run that a probe takes is of the default cadence and preset."""

from pathlib import Path

import pytest

from degradation.benchmark import probes
from degradation.config import probes_of


def test_the_shares_are_of_every_probe_of_training_and_depth(
    cifar10_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "DEPTHS", (8,))
    monkeypatch.setattr(probes, "ROUNDS", 1)
    part = probes.measure(str(cifar10_root))
    assert set(part) == {f"residual-8/{name}" for name in probes_of("resnet") if name != "lesion"}
    assert all(number["target"] == "at most 5" for number in part.values())
    assert probes.quick(8).trainer.probe_every == 100
