"""Save and load what a run needs to continue: weights, momentum and the iteration.

Order and augmentation of the data are functions of seed and iteration, so no generator's state
belongs to it.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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
    """Fills model and optimizer and returns the iteration.

    Raises CheckpointError and then changes neither.
    """
    data = path.read_bytes()
    try:
        content = _unpack(data)
        found, iteration = content["config_hash"], int(content["iteration"])
        if found == config_hash:
            assert _shapes(content["model"]) == _shapes(model.state_dict())
            optimizer.load_state_dict(content["optimizer"])  # looks before it changes anything
            model.load_state_dict(content["model"])
    except Exception:  # zipfile, pickle and torch raise whatever the bytes lead them to
        raise CheckpointError(
            f"{path}: cut short or altered, not a checkpoint of this run; "
            "remove the run directory to start this run again"
        ) from None
    if found != config_hash:
        raise CheckpointError(f"{path}: made by config {found}, this run's is {config_hash}")
    return iteration


def _unpack(data: bytes) -> dict[str, Any]:
    """Raises something for bytes that are not as `save` made them: torch.load checks no sums."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(damaged)
    content: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return content


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}
