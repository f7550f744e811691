"""Save and load what a run needs to continue: weights, momentum and the iteration.

Order and augmentation of the data are functions of seed and iteration, so no generator's state
belongs to it.
"""

import io
import pickle
from pathlib import Path

import torch
from torch import nn

from degradation.records import write_atomically

CHECKPOINT = "checkpoint.pt"


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued from; the message names the file."""


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, iteration: int, config_hash: str
) -> None:
    """Replaces the checkpoint in one step: a crash leaves the old one or the new one."""
    content = {
        "config_hash": config_hash,
        "iteration": iteration,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, config_hash: str) -> int:
    """Fills model and optimizer and returns the iteration. Raises CheckpointError and then changes
    neither.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found, iteration = content["config_hash"], int(content["iteration"])
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError):
        raise CheckpointError(
            f"{path}: cut short or altered, not a checkpoint; "
            "remove the run directory to start this run again"
        ) from None
    if found != config_hash:
        raise CheckpointError(f"{path}: made by config {found}, this run's is {config_hash}")
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return iteration
