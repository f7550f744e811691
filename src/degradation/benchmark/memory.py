"""Memory of a training step of 1,202 layers on a CPU, with and without activation checkpointing,
each in a process of its own.
"""

import sys
import tempfile
from pathlib import Path

import hydra
import torch

from degradation import cli, config
from degradation.begin import fresh_state
from degradation.benchmark.results import Part, spread
from degradation.benchmark.study import run
from degradation.config import Config
from degradation.optim import learning_rate
from degradation.step import EagerStep

DEPTH = 1202
GIB = {"quick": 1.0, "paper": 2.0}
"""At most, with checkpointing, the libraries included."""
ALLOCATOR = "MALLOC_MMAP_THRESHOLD_=65536"
"""glibc otherwise holds on to the holes that freed activations leave: at `quick` 0.2 GiB more."""
STEPS = 2
"""The second has the momentum of the first."""
SMALL_BATCHES = (4, 8)
"""What takes more memory than many a machine has is estimated from these: it grows with the batch
by as much for each image.
"""


def measure() -> Part:
    """GiB resident at most, presets `quick` and `paper` at their batch sizes."""
    part: Part = {}
    for preset, limit in GIB.items():
        checkpointed = peak_gib(preset, batch_size(preset), checkpoint_activations=True)
        name = f"residual-{DEPTH}/{preset}/checkpointed"
        part[name] = spread([checkpointed], "GiB", at_most=limit)
    kept = peak_gib("quick", batch_size("quick"), checkpoint_activations=False)
    part[f"residual-{DEPTH}/quick/kept"] = spread([kept], "GiB")
    few = [peak_gib("paper", batch, checkpoint_activations=False) for batch in SMALL_BATCHES]
    estimated = extrapolated(few, batch_size("paper"))
    part[f"residual-{DEPTH}/paper/kept, estimated"] = spread([estimated], "GiB")
    return part


def extrapolated(gib: list[float], batch: int) -> float:
    """On the line through two measurements at SMALL_BATCHES."""
    first, second = SMALL_BATCHES
    return gib[0] + (gib[1] - gib[0]) / (second - first) * (batch - first)


def peak_gib(preset: str, batch: int, checkpoint_activations: bool) -> float:
    """Of a fresh process that takes the steps. Raises ChildError."""
    arguments = (preset, batch, DEPTH, checkpoint_activations)
    code = f"from degradation.benchmark import memory; memory.take_steps{arguments}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _, peak_bytes = run(["env", ALLOCATOR, sys.executable, "-c", code], Path(folder))
    return peak_bytes / 2**30


def take_steps(preset: str, batch: int, depth: int, checkpoint_activations: bool) -> None:
    """On random images."""
    overrides = [f"model.depth={depth}"]
    overrides += [f"hardware.checkpoint_activations={checkpoint_activations}"]
    cfg = composed(preset, *overrides)
    state = fresh_state(cfg, torch.device("cpu"))
    step = EagerStep(state.model, state.optimizer, "fp32")
    images = torch.randn(batch, 3, cfg.data.pixels, cfg.data.pixels)
    labels = torch.randint(10, (batch,))
    for iteration in range(STEPS):
        lr = learning_rate(iteration, cfg.optim.lr, depth, cfg.schedule)
        step(images.contiguous(memory_format=torch.channels_last), labels, lr)


def batch_size(preset: str) -> int:
    return composed(preset).trainer.batch_size


def composed(preset: str, *overrides: str) -> Config:
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        return config.from_dict(hydra.compose("config", [f"preset={preset}", *overrides]))
