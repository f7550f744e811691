"""What a study takes of a machine, in bytes: from its nets where they say it, else from what was
measured once.
"""

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from degradation.config import (
    DATA_SETS,
    Config,
    ModelConfig,
    image_shape,
    train_images,
)
from degradation.nets import build_model

CHECKPOINTS = 3
"""The newest, the one before it, and the next while it is written."""
TENSOR_BYTES = 400
"""What a checkpoint's file has around the numbers of a tensor (measured: 300 to 395)."""
FILES_BYTES = 20_000
"""A run's config, environment, summary, W&B's logs, its share of blocks half full."""
LINE_BYTES, PROBE_BYTES, LAYER_BYTES = 300, 3_000, 80
"""A line of the record (measured: 200 to 270), and what a probe adds to one: less than the second,
or as many of the third as there are layers (80).
"""
WANDB = 5
"""W&B's file of a run is so many times as long as its record (measured: 2.0 to 4.6)."""
PROCESS_BYTES, LIBRARIES_BYTES = 400 * 2**20, 250 * 2**20
"""A process with PyTorch and W&B before it has any data: its own, and what all of them share."""
IMAGES = 2
"""In the pass from which the activations are counted."""
DEEPEST, WIDEST = 1202, 256
"""Nets up to these are built to be counted, in a few seconds. Deeper ones are extrapolated by a
formula, wider ones built on the meta device.
"""
SHALLOW, PERIOD = 122, 60
"""Depths from which the formula counts on; each further block of a stage is like the last."""


@dataclass(frozen=True)
class Size:
    """Of one net."""

    numbers: int
    """Parameters."""
    buffers: int
    """Batch norm's statistics."""
    tensors: tuple[int, int]
    """That hold the parameters, and the statistics."""
    kept_bytes: float
    """Activations that a training step keeps of one image, in fp32."""
    largest_bytes: float
    """The largest one of them."""


def is_too_large(model: ModelConfig) -> bool:
    return model.depth > DEEPEST or model.width > WIDEST


def size(cfg: Config) -> Size:
    deeper, image = cfg.model.depth - SHALLOW, image_shape(cfg.data)
    again = cfg.hardware.checkpoint_activations

    def built(depth: int) -> Size:
        model = dataclasses.replace(cfg.model, depth=depth, grown_from=0)
        return _size(dataclasses.astuple(model), image, again)

    if cfg.model.depth <= DEEPEST:
        return built(cfg.model.depth)
    near = built(SHALLOW + deeper % PERIOD)
    return _continued(built(SHALLOW + deeper % PERIOD + PERIOD), near, deeper // PERIOD)


def _continued(further: Size, near: Size, periods: int) -> Size:
    """The size that is as many periods of layers beyond the nearer one. What is kept where
    activations are computed again grows with the root of the depth, hence less than here.
    """

    def on(one: float, other: float) -> int:
        return round(other + (one - other) * periods)

    return Size(
        numbers=on(further.numbers, near.numbers),
        buffers=on(further.buffers, near.buffers),
        tensors=(
            on(further.tensors[0], near.tensors[0]),
            on(further.tensors[1], near.tensors[1]),
        ),
        kept_bytes=on(further.kept_bytes, near.kept_bytes),
        largest_bytes=near.largest_bytes,
    )


@functools.cache
def _size(model: tuple[object, ...], image: tuple[int, int, int], again: bool) -> Size:
    """By one forward pass: autograd says what it keeps."""
    cfg = ModelConfig(*model)  # type: ignore[arg-type]
    device = torch.device("meta" if cfg.width > WIDEST else "cpu")  # shapes without numbers
    with device:
        net = build_model(cfg, image, again)
    weights, buffers = list(net.parameters()), list(net.buffers())
    own = {tensor.untyped_storage()._cdata for tensor in (*weights, *buffers)}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with device, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = net(torch.zeros(IMAGES, *image))
    found = [t.untyped_storage().nbytes() / IMAGES for place, t in kept.items() if place not in own]
    del output
    return Size(
        numbers=sum(weight.numel() for weight in weights),
        buffers=sum(buffer.numel() for buffer in buffers),
        tensors=(len(weights), len(buffers)),
        kept_bytes=sum(found),
        largest_bytes=max(found, default=0.0),
    )


def averages(cfg: Config) -> int:
    """Numbers that the optimiser keeps for each weight."""
    return 2 if cfg.optim.name == "adam" else 1


def checkpoint_bytes(cfg: Config) -> float:
    net, copies = size(cfg), 1 + averages(cfg)
    tensors = copies * net.tensors[0] + net.tensors[1]
    return 4 * (copies * net.numbers + net.buffers) + TENSOR_BYTES * tensors


def record_bytes(cfg: Config) -> float:
    trainer, iterations = cfg.trainer, cfg.schedule.iterations
    lines = 1 + iterations // trainer.record_every
    probings = 2 + (iterations // trainer.probe_every if trainer.probe_every else 0)
    probed = PROBE_BYTES + LAYER_BYTES * cfg.model.depth
    return LINE_BYTES * lines + probings * len(trainer.probes) * probed


def disk_bytes(runs: Iterable[Config], mirrored: bool) -> float:
    """Of runs that are to be made."""
    times = 1 + (WANDB if mirrored else 0)
    return sum(
        FILES_BYTES + CHECKPOINTS * checkpoint_bytes(run) + times * record_bytes(run)
        for run in runs
    )


def run_bytes(cfg: Config) -> float:
    """Memory of one run while it trains: weights, gradients, averages, activations; evaluation
    keeps none, but has larger batches.
    """
    net, trainer = size(cfg), cfg.trainer
    trained = net.kept_bytes * trainer.batch_size
    evaluated = 3 * net.largest_bytes * trainer.eval_batch_size
    return 4 * net.numbers * (2 + averages(cfg)) + max(trained, evaluated)


def data_bytes(cfg: Config) -> float:
    """Memory of the prepared images: a byte a number, and one pixel that lies outside."""
    channels, side, _ = image_shape(cfg.data)
    count = cfg.data.train_images or train_images(cfg.data)
    return (count + DATA_SETS[cfg.data.name].test_images) * (side * side + 1) * channels
