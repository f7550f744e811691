"""A GPU's benchmark on a CPU: tiny nets and images, a step or two."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.helpers import TINY, make_config, noise_images

from degradation.benchmark import throughput, traffic, usual
from degradation.config import Config
from degradation.data.batches import Data, prepare

CPU = torch.device("cpu")
ARMS = (
    *TINY,
    *("trainer.record_every=2", "trainer.eval_every=4", "trainer.full_eval_every=20"),
)
"""Overrides that make the arms of a seed tiny."""
SILENT = ("trainer.eval_every=0", "trainer.full_eval_every=0", "trainer.checkpoint_every=0")
STAGES = [(128, 16, 32, 32), (128, 32, 16, 16), (128, 64, 8, 8)]
"""Not small: what batch norm is given in the paper's nets."""


def paper(depth: int, precision: str, every: int = 1) -> Config:
    """In place of the paper's protocol."""
    wanted = (f"model.depth={depth}", f"trainer.precision={precision}")
    rows = (f"trainer.record_every={every}", "schedule.iterations=1000")
    return make_config(*TINY, *wanted, *rows, *SILENT, preset="paper")


def data() -> Data:
    return prepare(noise_images(), paper(8, "bf16").data, CPU)


def batches(root: Path, size: int, workers: int) -> Iterator[Any]:
    return itertools.repeat((torch.zeros(4, 3, 32, 32), torch.zeros(4, dtype=torch.int64)))


def copy_bytes_per_s(device: torch.device) -> float:
    return traffic.copy_bytes_per_s(device, size=2**10, times=1)


def shrink(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """A module's measurements."""
    smaller = {
        "paper": paper,
        "load_images": lambda name, root: noise_images(),
        "load_data": lambda cfg, device: prepare(noise_images(), cfg, device),
        "copy_bytes_per_s": copy_bytes_per_s,
        "batches_folder": Path,
        "EVERY": 1,
        "ROUNDS": 2,
    }
    for name in smaller.keys() & vars(module).keys():
        monkeypatch.setattr(module, name, smaller[name])
    monkeypatch.setattr(usual, "batches", batches)
    monkeypatch.setattr(throughput, "REFILL_S", 0.0)
    monkeypatch.setattr(torch, "compile", no_compiler)


def no_compiler(*arguments: Any, **options: Any) -> Any:
    """It takes a minute."""
    raise RuntimeError("no compiler\nhere")
