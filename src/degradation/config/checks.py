"""Every check of a user's value; the first wrong one is a ConfigError that names the key."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

from degradation import identity, plain
from degradation.config.schema import (
    BATCH_NORM_KERNELS,
    DATA_SETS,
    KINDS,
    NETS,
    PRECISIONS,
    PROBE_LEAST_IMAGES,
    PROBES,
    SCALINGS,
    TRACKING_MODES,
    Config,
    ConfigError,
    DataConfig,
    HardwareConfig,
    ModelConfig,
    OptimConfig,
    ScheduleConfig,
    TrainerConfig,
    probes_of,
    train_images,
)

CHOICES: dict[str, Collection[object]] = {
    "model.net": NETS,
    "model.kind": KINDS,
    "model.shortcut": ("A", "B", "C"),
    "model.activation": ("relu", "prelu", "prelu_shared", "linear"),
    "model.order": ("post", "pre"),
    "model.init": ("fan_out", "fan_in", "xavier", "small", "torch"),
    "data.name": DATA_SETS,
    "data.split": ("full", "val"),
    "data.scaling": SCALINGS,
    "optim.name": ("sgd", "adam"),
    "schedule.warmup": ("none", "constant", "linear"),
    "trainer.precision": PRECISIONS,
    "hardware.batch_norm_kernels": BATCH_NORM_KERNELS,
    "tracking.mode": TRACKING_MODES,
}
LEAST = {
    "model.width": 1,
    "schedule.iterations": 1,
    "trainer.batch_size": 1,
    "trainer.record_every": 1,
    "trainer.eval_batch_size": 1,
    "trainer.curve_train_images": 1,
    "model.bn_group_size": 0,
    "data.train_images": 0,
    "schedule.warmup_iterations": 0,
    "schedule.warmup_min_depth": 0,
    "trainer.eval_every": 0,
    "trainer.full_eval_every": 0,
    "trainer.probe_every": 0,
    "trainer.checkpoint_every": 0,
    "trainer.curve_test_images": 0,
    "hardware.threads": 0,
    "seed": 0,
    "optim.momentum": 0,
    "optim.weight_decay": 0,
}


def check(cfg: Config) -> None:
    """Every value a user can get wrong; the first wrong one is a ConfigError."""
    _check_values(identity.flatten(dataclasses.asdict(cfg)))
    _check_net(cfg.model, cfg.data)
    _check_lists(cfg)
    _check_optim(cfg.optim, cfg.schedule)
    _check_hardware(cfg)
    _check_batches(cfg)
    _check_probes(cfg)
    _check_intervals(cfg.trainer)
    for name in ("experiment", "preset"):
        value = getattr(cfg, name)
        require(value.replace("_", "").isalnum(), name, value, "letters, digits and underscores")


def _check_values(flat: Mapping[str, Any]) -> None:
    """Each by itself."""
    for key, value in flat.items():
        fits = not isinstance(value, str) or plain.is_text(value)
        require(fits, key, value, "text without control characters")
    for key, accepted in CHOICES.items():
        require(flat[key] in accepted, key, flat[key], ", ".join(map(str, accepted)))
    for key, least in LEAST.items():
        require(flat[key] >= least, key, flat[key], f"{least} or more")
        require(flat[key] < math.inf, key, flat[key], "a finite number")
    for key in ("optim.lr", "schedule.gamma", "schedule.warmup_lr"):
        require(0 < flat[key] < math.inf, key, flat[key], "more than 0")
    require(flat["seed"] < 2**32, "seed", flat["seed"], "less than 2**32")


def _check_lists(cfg: Config) -> None:
    """OmegaConf lets mappings into them."""
    for key, found, kind in (
        ("schedule.milestones", cfg.schedule.milestones, int),
        ("trainer.probes", cfg.trainer.probes, str),
    ):
        fits = all(isinstance(entry, kind) for entry in found)
        require(fits, key, found, f"a list of {kind.__name__}")


def _check_optim(optim: OptimConfig, schedule: ScheduleConfig) -> None:
    accepted = "0 up to, not including, 1"
    require(optim.momentum < 1, "optim.momentum", optim.momentum, accepted)
    milestones = schedule.milestones
    ascends = milestones == sorted(set(milestones)) and all(m > 0 for m in milestones)
    accepted = "positive iterations in ascending order"
    require(ascends, "schedule.milestones", milestones, accepted)


def _check_hardware(cfg: Config) -> None:
    again, net = cfg.hardware.checkpoint_activations, cfg.model.net
    accepted = f"false for model.net={net}"
    require(net == "resnet" or not again, "hardware.checkpoint_activations", again, accepted)
    _check_kernels(cfg.model, cfg.hardware)


def _check_kernels(model: ModelConfig, hardware: HardwareConfig) -> None:
    key, kernels = "hardware.batch_norm_kernels", hardware.batch_norm_kernels
    if kernels == "library":
        return
    has = (model.net, model.batch_norm, model.bn_group_size, hardware.checkpoint_activations)
    nets = "ResNets with batch norm over the whole batch, without checkpoint_activations"
    require(has == ("resnet", True, 0, False), key, kernels, f"library but for {nets}")
    is_usual = (model.order, model.activation, model.shortcut) == ("post", "relu", "A")
    fits = kernels == "native" or (is_usual and model.width & (model.width - 1) == 0)
    nets = "nets in the order post with ReLU, shortcut A and 2**n channels"
    require(fits, key, kernels, f"library or native but for {nets}")


def _check_batches(cfg: Config) -> None:
    batch, group, data = cfg.trainer.batch_size, cfg.model.bn_group_size, cfg.data
    fits = not group or batch % group == 0
    require(fits, "model.bn_group_size", group, f"0 or a divisor of the batch of {batch}")
    images = train_images(data)
    require(images > 0, "data.split", data.split, f"full for data.name={data.name}")
    fits = data.train_images <= images
    require(fits, "data.train_images", data.train_images, f"0 to {images}")
    fits = batch <= (data.train_images or images)
    require(fits, "trainer.batch_size", batch, "at most the training images")


def _check_probes(cfg: Config) -> None:
    model, asked = cfg.model, cfg.trainer.probes
    fitting = probes_of(model.net, model.order, model.shortcut)
    trained_on = cfg.data.train_images or train_images(cfg.data)
    for probe in asked:
        require(probe in PROBES, "trainer.probes", probe, ", ".join(PROBES))
        accepted = f"{', '.join(PROBES[probe])} for the probe {probe}"
        require(model.net in PROBES[probe], "model.net", model.net, accepted)
        has = f"model.order={model.order} and model.shortcut={model.shortcut}"
        require(probe in fitting, "trainer.probes", probe, f"{', '.join(fitting)} for {has}")
        least = PROBE_LEAST_IMAGES.get(probe, 1)
        accepted = f"{least} or more for {probe}"
        require(trained_on >= least, "data.train_images", trained_on, accepted)
    require(len(set(asked)) == len(asked), "trainer.probes", asked, "each of them once")


def _check_intervals(trainer: TrainerConfig) -> None:
    record = trainer.record_every
    intervals = ["eval_every", "full_eval_every", "checkpoint_every"]
    for key in [*intervals, *(["probe_every"] if trainer.probes else [])]:
        value = getattr(trainer, key)
        accepted = f"0 or a multiple of trainer.record_every ({record})"
        require(value % record == 0, f"trainer.{key}", value, accepted)


def _check_net(model: ModelConfig, data: DataConfig) -> None:
    form = DATA_SETS[data.name]
    least = {"resnet": 8, "mlp": 4, "stack": 2, "autoencoder": 4}[model.net]
    channels = {"resnet": (3,), "autoencoder": (1,)}.get(model.net, (1, 3))
    sets = ", ".join(name for name, form in DATA_SETS.items() if form.channels in channels)
    fits = form.channels in channels
    require(fits, "data.name", data.name, f"{sets} for model.net={model.net}")
    sides = [side for side in form.pixels if model.net != "autoencoder" or side % 4 == 0]
    require(data.pixels in sides, "data.pixels", data.pixels, ", ".join(map(str, sides)))
    if model.net == "resnet":
        _check_shortcut_and_groups(model)
    else:
        _check_small_net(model)
    is_even = model.depth >= least and model.depth % 2 == 0
    if model.net == "autoencoder":
        require(model.depth == least, "model.depth", model.depth, f"{least}, its only depth")
    require(is_even, "model.depth", model.depth, f"even numbers from {least}")
    if model.grown_from:
        depths = f"0 or even numbers from 8 to model.depth ({model.depth})"
        fits = 8 <= model.grown_from <= model.depth and model.grown_from % 2 == 0
        require(fits, "model.grown_from", model.grown_from, depths)
        usual = ("resnet", True, "relu", "post", 0)
        has = (model.net, model.batch_norm, model.activation, model.order, model.bn_group_size)
        accepted = "0 but for post-activation ResNets with batch norm, ReLU and shortcut A or B"
        fits = has == usual and model.shortcut != "C"
        require(fits, "model.grown_from", model.grown_from, accepted)


def _check_shortcut_and_groups(model: ModelConfig) -> None:
    """What the net does not have would make the same net another arm."""
    fits = model.kind == "residual" or model.shortcut == "A"
    require(fits, "model.shortcut", model.shortcut, "A for plain nets, which have no shortcut")
    fits = model.batch_norm or not model.bn_group_size
    require(fits, "model.bn_group_size", model.bn_group_size, "0 without batch norm")


def _check_small_net(model: ModelConfig) -> None:
    """What only a ResNet has would go into the record's name without having been trained."""
    has_one = {"autoencoder": ("relu",)}.get(model.net, ("relu", "prelu", "linear"))
    accepted = f"{', '.join(has_one)} for model.net={model.net}"
    require(model.activation in has_one, "model.activation", model.activation, accepted)
    only = {"order": "post", "shortcut": "A", "batch_norm": True, "bn_group_size": 0}
    for key, value in only.items():
        found = getattr(model, key)
        fits = f"{value} for model.net={model.net}, where it has no meaning"
        require(found == value, f"model.{key}", found, fits)


def require(condition: bool, key: str, found: object, accepted: str) -> None:
    if not condition:
        raise ConfigError(f"{key}: {found!r}; accepted: {accepted}")
