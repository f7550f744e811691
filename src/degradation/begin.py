"""What a run begins with: its net before the first step, its data and its probes."""

from collections.abc import Callable
from typing import Any, cast

import torch

from degradation import probes
from degradation.config import Config, DataConfig, image_shape
from degradation.data.batches import Data, clean, prepare
from degradation.data.images import load_images
from degradation.loop import Probe, State
from degradation.nets import build_model
from degradation.optim import build_optimizer

Loader = Callable[[DataConfig, torch.device], Data]


def load_data(cfg: DataConfig, device: torch.device) -> Data:
    """Raises DataError."""
    return prepare(load_images(cfg.name, cfg.root), cfg, device)


def fresh_state(cfg: Config, device: torch.device) -> State:
    """The run before its first step; its seed becomes that of PyTorch's global generator."""
    torch.manual_seed(cfg.seed)
    model = build_model(cfg.model, image_shape(cfg.data), cfg.hardware.checkpoint_activations)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return State(model, build_optimizer(model, cfg.optim))


def build_probes(cfg: Config, data: Data) -> list[Probe]:
    """The probes of the config, each on the first images of its set, clean."""

    def build(name: str) -> Probe:
        split = data.test if name in probes.HELD_OUT else data.train
        part = split.first(probes.IMAGES[name])
        images = clean(data, part.images)
        measure = probes.MEASURES[name]
        return lambda model: measure(cast(Any, model), images, part.labels)

    return [build(name) for name in cfg.trainer.probes]
