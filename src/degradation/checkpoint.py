"""Save and load what a run needs to continue: weights, momentum, how far it has come, and what has
added up since its last row.

Order and augmentation of the data are functions of seed and iteration, so no generator's state
belongs to it. The file ends with the SHA-256 of what stands before it, and nothing is unpickled
before that has been checked; `torch.load` reads it as it is.
"""

import hashlib
import io
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from degradation import lines
from degradation.records import sync_folder, write_atomically

CHECKPOINT, PREVIOUS, NEW = "checkpoint.pt", "checkpoint.previous.pt", "checkpoint.new.pt"
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
    new = path.with_name(NEW)
    write_atomically(new, data + MARK + hashlib.sha256(data).hexdigest().encode())
    if path.exists():
        path.replace(path.with_name(PREVIOUS))
    new.replace(path)
    sync_folder(path.parent)


def load_newest(
    run_dir: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config_hash: str,
    warn: Callable[[str], object] = lambda line: lines.say(f"warning: {line}", sys.stderr),
    *,
    remove_damaged: bool = False,
) -> Progress | None:
    """Fills model and optimizer from the newest checkpoint that is whole; None if there is none.

    Warns where that is not the newest of all. Raises CheckpointError if none is whole.

    remove_damaged: delete newer, damaged ones, for a run that goes on: its next save then keeps the
    whole one as the previous checkpoint.
    """
    damaged: list[CheckpointError] = []
    newest_first = [run_dir / name for name in (NEW, CHECKPOINT, PREVIOUS)]
    for path in newest_first:
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
        for newer in newest_first[: newest_first.index(path)] if remove_damaged else ():
            newer.unlink(missing_ok=True)
        return progress
    if damaged:
        raise CheckpointError(f"{damaged[0]}; remove the run directory to start this run again")
    return None


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, config_hash: str
) -> Progress:
    """Fills model and optimizer. Raises CheckpointError and then changes neither.

    A right SHA-256 says that the file is whole, not that this run has written it, so what is in it
    is held against what the run would have written. Of the optimizer only what it has added up
    counts; its settings are the config's.
    """
    data = path.read_bytes()
    try:
        content = _unpack(data)
        found, progress = content["config_hash"], dict(content["progress"])
        _require(found.isascii() and found.isalnum())  # text in one line, since it is shown
        if found == config_hash:
            _check_progress(progress)
            _require(_forms(content["model"]) == _forms(model.state_dict()))
            _check_state(content["optimizer"]["state"], optimizer, progress["iteration"])
    except MemoryError:
        raise
    except Exception:  # pickle and torch raise whatever the bytes lead them to
        raise CheckpointError(
            f"{path}: cut short or altered, not a checkpoint of this run"
        ) from None
    if found != config_hash:
        raise CheckpointError(f"{path}: made by config {found}, this run's is {config_hash}")
    # of a whole file only for want of memory, which says nothing against the file
    settings = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": content["optimizer"]["state"], "param_groups": settings})
    model.load_state_dict(content["model"])
    return progress


def _require(condition: bool) -> None:
    """Of what somebody else may have written, so also where Python leaves `assert` out."""
    if not condition:
        raise ValueError


def _check_progress(progress: Progress) -> None:
    """Raises ValueError unless the loop could have come so far."""
    iteration, recorded, totals = (progress[key] for key in ("iteration", "recorded", "totals"))
    counts = (iteration, recorded, totals["steps"], totals["images"])
    _require(all(type(count) is int for count in counts))
    _require(-1 <= recorded <= iteration)
    _require(totals["steps"] == iteration - max(recorded, 0))
    _require(totals["images"] >= totals["steps"])
    _require(_form(totals["loss"]) == _form(torch.zeros(())))
    _require(_form(totals["wrong"]) == _form(torch.zeros((), dtype=torch.int64)))
    _require(math.isfinite(progress["wall_s"]))


def _check_state(
    state: Mapping[int, Mapping[str, Tensor]], optimizer: torch.optim.Optimizer, steps: int
) -> None:
    """Raises ValueError unless it has added up so much for each parameter."""
    (group,) = optimizer.param_groups
    names: tuple[str, ...] = ("momentum_buffer",) if group.get("momentum") else ()
    if isinstance(optimizer, torch.optim.Adam):
        names = ("exp_avg", "exp_avg_sq", "step")
    expected = {
        index: {name: _form(torch.zeros(()) if name == "step" else parameter) for name in names}
        for index, parameter in enumerate(group["params"] if names and steps else ())
    }
    _require({index: _forms(kept) for index, kept in state.items()} == expected)
    _require(all(kept["step"] == steps for kept in state.values() if "step" in kept))


def _unpack(data: bytes) -> dict[str, Any]:
    """Raises something for bytes that are not as `save` made them."""
    content_bytes, _, digest = data.rpartition(MARK)
    if hashlib.sha256(content_bytes).hexdigest().encode() != digest:
        raise ValueError("SHA-256")
    content: dict[str, Any] = torch.load(
        io.BytesIO(content_bytes), map_location="cpu", weights_only=True
    )
    return content


def _forms(weights: Mapping[str, Tensor]) -> dict[str, tuple[object, ...]]:
    return {name: _form(tensor) for name, tensor in weights.items()}


def _form(tensor: Tensor) -> tuple[object, ...]:
    """What another tensor must have so that it can be copied there as it is."""
    return tensor.shape, tensor.dtype, tensor.layout
