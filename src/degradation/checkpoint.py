"""Save and load what a run needs to continue: weights, momentum, how far it has come, and what has
added up since its last row.

Order and augmentation of the data are functions of seed and iteration, so no generator's state
belongs to it. The file ends with the SHA-256 of what stands before it, and nothing is unpickled
before that has been checked; `torch.load` reads it as it is.
"""

import hashlib
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from degradation.records import write_atomically

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
MARK = b"\nsha256 "

Progress = Mapping[str, Any]
"""`iteration`, `recorded`, `wall_s`, `totals`: see `loop.State.progress`."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued from; the message names the file."""


def save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    config_hash: str,
) -> None:
    """Replaces the checkpoint, of which the one before is kept: a crash at any moment leaves one
    that is whole.
    """
    content = {
        "config_hash": config_hash,
        "progress": dict(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    new = path.with_name("checkpoint.new.pt")
    write_atomically(new, data + MARK + hashlib.sha256(data).hexdigest().encode())
    if path.exists():
        path.replace(path.with_name(PREVIOUS))
    new.replace(path)


def load_newest(
    run_dir: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config_hash: str,
    warn: Callable[[str], object] = lambda line: print(f"warning: {line}", file=sys.stderr),
) -> Progress | None:
    """Fills model and optimizer from the newest checkpoint that is whole; None if there is none.

    Warns where that is not the newest of all. Raises CheckpointError if none is whole.
    """
    damaged: list[CheckpointError] = []
    for path in (run_dir / CHECKPOINT, run_dir / PREVIOUS):
        if not path.exists():
            continue
        try:
            progress = load(path, model, optimizer, config_hash)
        except CheckpointError as error:
            damaged.append(error)
            continue
        if damaged:
            at = f"iteration {progress['iteration']}"
            warn(f"{damaged[0]}; going on from {path.name}, {at}")
        return progress
    if damaged:
        raise damaged[0]
    return None


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, config_hash: str
) -> Progress:
    """Fills model and optimizer. Raises CheckpointError and then changes neither."""
    data = path.read_bytes()
    try:
        content = _unpack(data)
        found, progress = content["config_hash"], dict(content["progress"])
        if found == config_hash:
            assert _shapes(content["model"]) == _shapes(model.state_dict())
            optimizer.load_state_dict(content["optimizer"])  # looks before it changes anything
            model.load_state_dict(content["model"])
    except Exception:  # pickle and torch raise whatever the bytes lead them to
        raise CheckpointError(
            f"{path}: cut short or altered, not a checkpoint of this run; "
            "remove the run directory to start this run again"
        ) from None
    if found != config_hash:
        raise CheckpointError(f"{path}: made by config {found}, this run's is {config_hash}")
    return progress


def _unpack(data: bytes) -> dict[str, Any]:
    """Raises something for bytes that are not as `save` made them."""
    content_bytes, _, digest = data.rpartition(MARK)
    if hashlib.sha256(content_bytes).hexdigest().encode() != digest:
        raise ValueError("SHA-256")
    content: dict[str, Any] = torch.load(
        io.BytesIO(content_bytes), map_location="cpu", weights_only=True
    )
    return content


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}
