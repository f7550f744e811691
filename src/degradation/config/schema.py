"""What may be set, with types, units and meaning; `conf/` holds the values."""

from dataclasses import dataclass, field

from omegaconf import MISSING

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
