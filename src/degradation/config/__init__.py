"""The configuration: what may be set (`schema`), every check of a user's value (`checks`), and here
the way from Hydra's composed config to a checked `Config`, and a run's name and folder.

Whatever is wrong is answered with one `ConfigError` that names the key.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from degradation import identity
from degradation.config.checks import check, require
from degradation.config.schema import (
    DATA_SETS,
    KINDS,
    NETS,
    PROBE_LEAST_IMAGES,
    PROBES,
    VAL_IMAGES,
    Config,
    ConfigError,
    DataConfig,
    HardwareConfig,
    ModelConfig,
    OptimConfig,
    ScheduleConfig,
    TrackingConfig,
    TrainerConfig,
    image_shape,
    probes_of,
    train_images,
)

__all__ = [
    "DATA_SETS",
    "KINDS",
    "NETS",
    "PROBES",
    "PROBE_LEAST_IMAGES",
    "VAL_IMAGES",
    "Config",
    "ConfigError",
    "DataConfig",
    "HardwareConfig",
    "ModelConfig",
    "OptimConfig",
    "ScheduleConfig",
    "TrackingConfig",
    "TrainerConfig",
    "arm_name",
    "check",
    "config_hash",
    "from_dict",
    "image_shape",
    "probes_of",
    "run_name",
    "study_dir",
    "to_dict",
    "train_images",
    "unchecked",
]


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
        require(not has_one, key, value, "a value, no reference")


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
