"""The configuration: what may be set, in which unit, and every check of a user's value.

`conf/` holds the values, these dataclasses the types and the meaning. `from_dict` is the one way
from Hydra's composed config to a checked `Config`; whatever is wrong is answered with one
`ConfigError` that names the key.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import MISSING, DictConfig, OmegaConf

from degradation import identity, plain

KINDS = ("plain", "residual")
NETS = ("resnet", "mlp", "stack", "autoencoder")
SCALINGS = ("mean_subtracted", "zero_to_one", "minus_one_to_one")
PRECISIONS = ("fp32", "tf32", "bf16")
BATCH_NORM_KERNELS = ("library", "native", "fused", "fused_early")
PROBES = {
    "gradients": ("resnet",),
    "responses": ("resnet",),
    "shattering": ("resnet",),
    "identity": ("resnet", "mlp", "stack"),
    "lesion": ("resnet",),
    "first_layer": ("autoencoder",),
}
"""Which nets each of them can measure."""
PROBE_LEAST_IMAGES = {"shattering": 8}
"""Training images without which it has nothing to measure: the ends of its lines."""


@dataclass(frozen=True)
class DataForm:
    """What a data set's images are."""

    channels: int
    pixels: tuple[int, ...]
    """Sides in pixels it can be had in, the full one first."""
    train_images: int
    test_images: int


DATA_SETS = {
    "cifar10": DataForm(3, (32, 16, 8), 50_000, 10_000),
    "shapes": DataForm(3, (32, 16, 8), 50_000, 10_000),
    "mnist": DataForm(1, (28, 14, 7), 60_000, 10_000),
    "uniform": DataForm(1, (4,), 2_000, 1_000),
}
VAL_IMAGES = 5_000
"""Held out of the training images for `data.split: val`."""
TRACKING_MODES = ("auto", "offline", "online", "off")


class ConfigError(ValueError):
    """A value the user can correct; the message names the key, the value and what is accepted."""


@dataclass
class ModelConfig:
    """A net: `resnet`, or one of those beside it, for which not every field has a meaning."""

    net: str = "resnet"
    """`resnet`: the CIFAR nets of Sec. 4.2, three stages of 3x3 convs, two convs a block; `mlp`:
    fully connected, two layers a block; `stack`: such blocks alone, which learn to copy their
    input; `autoencoder`: the small convolutional one that is copied so often.
    """
    kind: str = MISSING
    """`plain` or `residual`: the same layers, without or with the addition of the shortcut."""
    depth: int = MISSING
    """Weighted layers, even: first, 2 a block, last, at least 8; `mlp` at least 4; `stack`: 2 a
    block and no others; `autoencoder`: 4.
    """
    grown_from: int = 0
    """Begin as the same function as a trained net of this depth, identity blocks added; 0: from
    random weights.
    """
    width: int = MISSING
    """Channels of the first stage; the others have 2 and 4 times as many. Of `mlp` the hidden
    features.
    """
    shortcut: str = MISSING
    """`A` identity with zero-padded channels, `B` 1x1 projection where the size changes, `C`
    everywhere.
    """
    batch_norm: bool = MISSING
    """Batch norm after every conv; without it the convs have a bias."""
    bn_group_size: int = MISSING
    """Images that are normalised together in training; 0 for the whole batch."""
    activation: str = MISSING
    """`relu`, `prelu` (one learnt slope a channel), `prelu_shared` (one slope for both places of a
    block) or `linear` (none).
    """
    order: str = MISSING
    """`post` (conv, BN, activation: He et al. 2015) or `pre` (BN, activation, conv: He et al.
    2016).
    """
    init: str = MISSING
    """He-normal by `fan_out` or `fan_in`; `xavier`: Glorot-normal, the older way; `small`: normal
    with a standard deviation of 0.01; `torch`: the framework's own. Of the convs, of `mlp` of
    all layers but the last; that is always the framework's own with a zero bias.
    """


@dataclass
class DataConfig:
    """What is trained on."""

    name: str = MISSING
    """`cifar10`, or `shapes`, a procedural stand-in of the same form for machines without CIFAR-10;
    `mnist`; `uniform`, vectors of 16 independent numbers.
    """
    root: str | None = None
    """Folder that holds `cifar-10-batches-py/` or `MNIST/raw/`; null: the cache folder, filled by
    download when empty.
    """
    split: str = MISSING
    """`full`: all training images and the test set; `val`: all but 5,000, and these in the test
    set's place.
    """
    train_images: int = MISSING
    """Train on the first this many images of the split (the sets come shuffled); 0: on all of them.
    """
    pixels: int = MISSING
    """Side of the images in pixels: 32, or 16 or 8 (mean-pooled); of `mnist` 28, 14 or 7; of
    `uniform` 4.
    """
    scaling: str = "mean_subtracted"
    """`mean_subtracted`: in [0, 1], the training images' per-pixel mean subtracted; `zero_to_one`;
    `minus_one_to_one`.
    """
    augment: bool = MISSING
    """Pad by 4 of 32 pixels, random crop, flip with probability 1/2."""


@dataclass
class OptimConfig:
    """SGD with momentum, or Adam; weight decay on all parameters."""

    name: str = "sgd"
    """`sgd`, or `adam` (Kingma and Ba 2015), for which `momentum` is beta1."""
    lr: float = MISSING
    """Learning rate before the milestones and after the warm-up."""
    momentum: float = MISSING
    """Share of the last update that is kept in the next."""
    weight_decay: float = MISSING
    """L2 penalty on all parameters, biases and batch norm included."""


@dataclass
class ScheduleConfig:
    """The learning rate as a function of the iteration."""

    iterations: int = MISSING
    """Iterations in all."""
    milestones: list[int] = MISSING
    """Iterations at which the learning rate is multiplied by `gamma`, ascending."""
    gamma: float = MISSING
    """Factor at each milestone."""
    warmup: str = MISSING
    """`none`; `constant` at `warmup_lr`; `linear` from lr / warmup_iterations up to lr."""
    warmup_iterations: int = MISSING
    """Iterations of the warm-up."""
    warmup_lr: float = MISSING
    """Learning rate of the `constant` warm-up."""
    warmup_min_depth: int = MISSING
    """Nets shallower than this have no warm-up."""


@dataclass
class TrainerConfig:
    """How it is trained, and how often it is looked at."""

    batch_size: int = MISSING
    """Images a step."""
    precision: str = MISSING
    """`fp32`, `tf32` (fp32 storage, TF32 matrix units; where a device has none it is fp32, and is
    recorded as that) or `bf16` (autocast, fp32 weights).
    """
    record_every: int = MISSING
    """Iterations between two lines of the record."""
    eval_every: int = MISSING
    """Iterations between two evaluations for the curves; 0: only at the end."""
    curve_train_images: int = MISSING
    """Training images, always the same first ones, of such an evaluation
    (`eval/train_subset_error_pct`).
    """
    curve_test_images: int = MISSING
    """Test images of such an evaluation; 0: all (`test/error_pct`), otherwise
    `test/subset_error_pct`.
    """
    full_eval_every: int = MISSING
    """Iterations between two evaluations on the whole training and test set; 0: only at the end."""
    eval_batch_size: int = MISSING
    """Images a forward pass in evaluations."""
    checkpoint_every: int = MISSING
    """Iterations between two checkpoints; 0: only at the end."""
    deterministic: bool = True
    """Fixed cuDNN algorithms: on one GPU the same numbers again, whatever runs beside; false: the
    fastest that cuDNN finds by trying.
    """
    probes: list[str] = field(default_factory=list)
    """Measurements for the record, as `probe/...`: `gradients`, `responses`, `shattering`,
    `identity`, `lesion` (with `probe_every` 0: it is dozens of passes); of the autoencoder
    `first_layer`.
    """
    probe_every: int = 100
    """Iterations between two of them, besides before the first step and at the end; 0: only these.
    """


@dataclass
class HardwareConfig:
    """Where it runs. Not part of a run's identity; recorded in environment.json."""

    device: str = "auto"
    """`auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:1`, `mps`."""
    threads: int = 0
    """CPU threads of one run; 0: what PyTorch or the process pool allots."""
    capture: bool = True
    """On CUDA with SGD, replay each step as one captured graph; the same numbers, without the
    launches.
    """
    batch_norm_kernels: str = "library"
    """Whose kernels compute batch norm in a training step: `library`, PyTorch's choice (cuDNN's,
    for bf16 its own); `native`, PyTorch's own; on CUDA `fused`, batch norm, addition and ReLU
    together in Triton's; `fused_early`, these with each second one launched before the first has
    ended. The same numbers up to rounding.
    """
    checkpoint_activations: bool = False
    """Keep what goes into every few blocks only and compute the rest again for the backward pass:
    the same numbers, a third more work, a fraction of the memory. Steps are not captured then.
    """

    @property
    def captures(self) -> bool:
        """Whether a step on CUDA becomes a graph."""
        return self.capture and not self.checkpoint_activations


@dataclass
class TrackingConfig:
    """The Weights & Biases mirror of the record."""

    mode: str = "auto"
    """`auto` (online when a key is at hand, else offline), `offline`, `online`, `off`."""
    project: str = "degradation"
    """W&B project."""
    entity: str | None = None
    """W&B user or team; null: the key's own."""


@dataclass
class Config:
    """One run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    seed: int = 0
    """Fixes the initial weights, the order of the data and the augmentation."""
    experiment: str = "adhoc"
    """Study this run belongs to; set by `+experiment=...`."""
    preset: str = MISSING
    """Scale of the study; set by `preset=...`."""
    output_root: str = "outputs"
    """Runs go to `<output_root>/<experiment>/<preset>/runs/<run>`."""


def from_dict(composed: DictConfig | Mapping[str, Any]) -> Config:
    """The checked config of one run. Raises ConfigError, naming the key."""
    cfg = unchecked(composed)
    check(cfg)
    return cfg


def unchecked(composed: DictConfig | Mapping[str, Any]) -> Config:
    """A config that need not be one of a run, such as a study's baseline at another net's depth."""
    if isinstance(composed, DictConfig):  # which `+key=value` may have opened to unknown keys
        composed = cast(dict[str, Any], OmegaConf.to_container(composed))
    else:
        _refuse_references(composed)
    merged = OmegaConf.merge(OmegaConf.structured(Config), composed)
    cfg = OmegaConf.to_object(merged)
    assert isinstance(cfg, Config)
    return cfg


def _refuse_references(recorded: Mapping[str, Any]) -> None:
    """A record holds values; `${...}` in one would be looked up here, among another's settings."""
    for key, value in identity.flatten(recorded).items():
        values = value if isinstance(value, list) else [value]
        has_one = any(isinstance(value, str) and "${" in value for value in values)
        _require(not has_one, key, value, "a value, no reference")


def to_dict(cfg: Config) -> dict[str, Any]:
    """Plain dicts, lists and scalars, as written to config.yaml."""
    return dataclasses.asdict(cfg)


def config_hash(cfg: Config) -> str:
    """Eight hexadecimal digits over the identity."""
    return identity.digest(to_dict(cfg))


def arm_name(cfg: Config, baseline: Config) -> str:
    """`plain-56`, and `-<field><value>` for what differs from the study's `baseline` (its preset
    and experiment).
    """
    ours, theirs = identity.of(to_dict(cfg)), identity.of(to_dict(baseline))
    parts = [cfg.model.kind, str(cfg.model.depth)]
    for key in sorted(ours):
        if ours[key] != theirs[key] and key not in ("model.kind", "model.depth", "seed"):
            group, _, label = key.rpartition(".")
            label = group if label == "name" else label
            parts.append(label + _value_text(ours[key]))
    return "-".join(parts)


def run_name(cfg: Config, baseline: Config) -> str:
    """The arm's name and the seed: `plain-56-s0`."""
    return f"{arm_name(cfg, baseline)}-s{cfg.seed}"


def _value_text(value: object) -> str:
    if isinstance(value, list):
        return "_".join(map(_value_text, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def study_dir(cfg: Config) -> Path:
    return Path(cfg.output_root) / cfg.experiment / cfg.preset


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
    _check_values(identity.flatten(to_dict(cfg)))
    _check_net(cfg.model, cfg.data)
    _check_lists(cfg)
    _check_optim(cfg.optim, cfg.schedule)
    _check_hardware(cfg)
    _check_batches(cfg)
    _check_probes(cfg)
    _check_intervals(cfg.trainer)
    for name in ("experiment", "preset"):
        value = getattr(cfg, name)
        _require(value.replace("_", "").isalnum(), name, value, "letters, digits and underscores")


def _check_values(flat: Mapping[str, Any]) -> None:
    """Each by itself."""
    for key, value in flat.items():
        fits = not isinstance(value, str) or plain.is_text(value)
        _require(fits, key, value, "text without control characters")
    for key, accepted in CHOICES.items():
        _require(flat[key] in accepted, key, flat[key], ", ".join(map(str, accepted)))
    for key, least in LEAST.items():
        _require(flat[key] >= least, key, flat[key], f"{least} or more")
        _require(flat[key] < math.inf, key, flat[key], "a finite number")
    for key in ("optim.lr", "schedule.gamma", "schedule.warmup_lr"):
        _require(0 < flat[key] < math.inf, key, flat[key], "more than 0")
    _require(flat["seed"] < 2**32, "seed", flat["seed"], "less than 2**32")


def _check_lists(cfg: Config) -> None:
    """OmegaConf lets mappings into them."""
    for key, found, kind in (
        ("schedule.milestones", cfg.schedule.milestones, int),
        ("trainer.probes", cfg.trainer.probes, str),
    ):
        fits = all(isinstance(entry, kind) for entry in found)
        _require(fits, key, found, f"a list of {kind.__name__}")


def _check_optim(optim: OptimConfig, schedule: ScheduleConfig) -> None:
    accepted = "0 up to, not including, 1"
    _require(optim.momentum < 1, "optim.momentum", optim.momentum, accepted)
    milestones = schedule.milestones
    ascends = milestones == sorted(set(milestones)) and all(m > 0 for m in milestones)
    accepted = "positive iterations in ascending order"
    _require(ascends, "schedule.milestones", milestones, accepted)


def _check_hardware(cfg: Config) -> None:
    again, net = cfg.hardware.checkpoint_activations, cfg.model.net
    accepted = f"false for model.net={net}"
    _require(net == "resnet" or not again, "hardware.checkpoint_activations", again, accepted)
    _check_kernels(cfg.model, cfg.hardware)


def _check_kernels(model: ModelConfig, hardware: HardwareConfig) -> None:
    key, kernels = "hardware.batch_norm_kernels", hardware.batch_norm_kernels
    if kernels == "library":
        return
    has = (model.net, model.batch_norm, model.bn_group_size, hardware.checkpoint_activations)
    nets = "ResNets with batch norm over the whole batch, without checkpoint_activations"
    _require(has == ("resnet", True, 0, False), key, kernels, f"library but for {nets}")
    is_usual = (model.order, model.activation, model.shortcut) == ("post", "relu", "A")
    fits = kernels == "native" or (is_usual and model.width & (model.width - 1) == 0)
    nets = "nets in the order post with ReLU, shortcut A and 2**n channels"
    _require(fits, key, kernels, f"library or native but for {nets}")


def _check_batches(cfg: Config) -> None:
    batch, group, data = cfg.trainer.batch_size, cfg.model.bn_group_size, cfg.data
    fits = not group or batch % group == 0
    _require(fits, "model.bn_group_size", group, f"0 or a divisor of the batch of {batch}")
    images = train_images(data)
    _require(images > 0, "data.split", data.split, f"full for data.name={data.name}")
    fits = data.train_images <= images
    _require(fits, "data.train_images", data.train_images, f"0 to {images}")
    fits = batch <= (data.train_images or images)
    _require(fits, "trainer.batch_size", batch, "at most the training images")


def _check_probes(cfg: Config) -> None:
    model, asked = cfg.model, cfg.trainer.probes
    fitting = probes_of(model.net, model.order, model.shortcut)
    trained_on = cfg.data.train_images or train_images(cfg.data)
    for probe in asked:
        _require(probe in PROBES, "trainer.probes", probe, ", ".join(PROBES))
        accepted = f"{', '.join(PROBES[probe])} for the probe {probe}"
        _require(model.net in PROBES[probe], "model.net", model.net, accepted)
        has = f"model.order={model.order} and model.shortcut={model.shortcut}"
        _require(probe in fitting, "trainer.probes", probe, f"{', '.join(fitting)} for {has}")
        least = PROBE_LEAST_IMAGES.get(probe, 1)
        accepted = f"{least} or more for {probe}"
        _require(trained_on >= least, "data.train_images", trained_on, accepted)
    _require(len(set(asked)) == len(asked), "trainer.probes", asked, "each of them once")


def _check_intervals(trainer: TrainerConfig) -> None:
    record = trainer.record_every
    intervals = ["eval_every", "full_eval_every", "checkpoint_every"]
    for key in [*intervals, *(["probe_every"] if trainer.probes else [])]:
        value = getattr(trainer, key)
        accepted = f"0 or a multiple of trainer.record_every ({record})"
        _require(value % record == 0, f"trainer.{key}", value, accepted)


def _check_net(model: ModelConfig, data: DataConfig) -> None:
    form = DATA_SETS[data.name]
    least = {"resnet": 8, "mlp": 4, "stack": 2, "autoencoder": 4}[model.net]
    channels = {"resnet": (3,), "autoencoder": (1,)}.get(model.net, (1, 3))
    sets = ", ".join(name for name, form in DATA_SETS.items() if form.channels in channels)
    fits = form.channels in channels
    _require(fits, "data.name", data.name, f"{sets} for model.net={model.net}")
    sides = [side for side in form.pixels if model.net != "autoencoder" or side % 4 == 0]
    _require(data.pixels in sides, "data.pixels", data.pixels, ", ".join(map(str, sides)))
    if model.net == "resnet":
        _check_shortcut_and_groups(model)
    else:
        _check_small_net(model)
    is_even = model.depth >= least and model.depth % 2 == 0
    if model.net == "autoencoder":
        _require(model.depth == least, "model.depth", model.depth, f"{least}, its only depth")
    _require(is_even, "model.depth", model.depth, f"even numbers from {least}")
    if model.grown_from:
        depths = f"0 or even numbers from 8 to model.depth ({model.depth})"
        fits = 8 <= model.grown_from <= model.depth and model.grown_from % 2 == 0
        _require(fits, "model.grown_from", model.grown_from, depths)
        usual = ("resnet", True, "relu", "post", 0)
        has = (model.net, model.batch_norm, model.activation, model.order, model.bn_group_size)
        accepted = "0 but for post-activation ResNets with batch norm, ReLU and shortcut A or B"
        fits = has == usual and model.shortcut != "C"
        _require(fits, "model.grown_from", model.grown_from, accepted)


def _check_shortcut_and_groups(model: ModelConfig) -> None:
    """What the net does not have would make the same net another arm."""
    fits = model.kind == "residual" or model.shortcut == "A"
    _require(fits, "model.shortcut", model.shortcut, "A for plain nets, which have no shortcut")
    fits = model.batch_norm or not model.bn_group_size
    _require(fits, "model.bn_group_size", model.bn_group_size, "0 without batch norm")


def _check_small_net(model: ModelConfig) -> None:
    """What only a ResNet has would go into the record's name without having been trained."""
    has_one = {"autoencoder": ("relu",)}.get(model.net, ("relu", "prelu", "linear"))
    accepted = f"{', '.join(has_one)} for model.net={model.net}"
    _require(model.activation in has_one, "model.activation", model.activation, accepted)
    only = {"order": "post", "shortcut": "A", "batch_norm": True, "bn_group_size": 0}
    for key, value in only.items():
        found = getattr(model, key)
        fits = f"{value} for model.net={model.net}, where it has no meaning"
        _require(found == value, f"model.{key}", found, fits)


def probes_of(net: str, order: str = "post", shortcut: str = "A") -> tuple[str, ...]:
    """The probes that can measure such a net."""
    unfit = {"responses"} if order == "pre" else set()
    unfit |= {"identity"} if shortcut == "C" else set()
    return tuple(probe for probe, nets in PROBES.items() if net in nets and probe not in unfit)


def train_images(data: DataConfig) -> int:
    """How many there are in the split."""
    return DATA_SETS[data.name].train_images - (VAL_IMAGES if data.split == "val" else 0)


def image_shape(data: DataConfig) -> tuple[int, int, int]:
    """(C, P, P)."""
    return DATA_SETS[data.name].channels, data.pixels, data.pixels


def _require(condition: bool, key: str, found: object, accepted: str) -> None:
    if not condition:
        raise ConfigError(f"{key}: {found!r}; accepted: {accepted}")
