"""`make bench`: its parts by name, and what one that fails does to the others."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from degradation.benchmark import parts
from degradation.benchmark.results import Part, spread
from degradation.config import ConfigError
from scripts import bench


def test_parts_are_told_apart() -> None:
    assert not set(bench.CPU) & set(bench.GPU)
    assert bench.GPU[0] == "gpu_seed"  # while nothing else has memory
    assert bench.GPU[-1] == "gpu_profile"


def test_what_was_measured_is_kept_though_the_rest_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut_off(device: torch.device) -> Iterator[Part]:
        yield {"step": spread([1.0], "ms")}
        raise RuntimeError("CUDA error")

    whole = {"first": cut_off, "second": lambda device: [{"step": spread([2.0, 3.0], "ms")}]}
    monkeypatch.setattr(parts, "of_cpu", lambda root, checkout: whole)
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path)
    assert bench.bench_all(["first", "second"], None) == 1
    kept = json.loads((tmp_path / "results" / "bench" / "cpu.json").read_text())
    assert {name: part["step"]["n"] for name, part in kept.items()} == {"first": 1, "second": 2}
    assert kept["first"]["environment"]["command"] == "python scripts/bench.py first"
    assert "CUDA error" in capsys.readouterr().err


def test_what_the_user_got_wrong_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(device: torch.device) -> list[Part]:
        raise ConfigError("hardware.device: 'cuda' is not on this machine; accepted: auto, cpu")

    monkeypatch.setattr(parts, "of_cpu", lambda root, checkout: {"a": refuse, "b": refuse})
    assert bench.bench_all(["a", "b"], None) == 2
    assert capsys.readouterr().err.count("error: hardware.device") == 1
