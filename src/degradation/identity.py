"""What makes two runs the same run: shared by what makes runs and by what judges them."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

NOT_IDENTITY = (
    "hardware",
    "tracking",
    "output_root",
    "experiment",
    "preset",
    "data.root",
    "trainer.checkpoint_every",
    "trainer.deterministic",
    "trainer.probes",
    "trainer.probe_every",
)
"""Keys of a config that say where and how a run is made and kept, not what is computed."""

ADDED: dict[str, Any] = {
    "model.net": "resnet",
    "model.grown_from": 0,
    "data.scaling": "mean_subtracted",
    "optim.name": "sgd",
}
"""Keys that came after the first records, and what every run before them was made with."""


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"depth": 18}} -> {"model.depth": 18}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The flat settings that decide what is computed: of the same identity is the same run."""
    flat = ADDED | flatten(config)
    return {
        key: value
        for key, value in flat.items()
        if key not in NOT_IDENTITY and key.split(".")[0] not in NOT_IDENTITY
    }


def digest(config: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits over the identity; later additions count where they differ."""
    settings = {
        key: value for key, value in of(config).items() if key not in ADDED or ADDED[key] != value
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], aside: Collection[str] = ()
) -> list[str]:
    """The identity keys, those `aside` aside, in which two configs differ: `key: ours / theirs`."""
    a, b = of(ours), of(theirs)
    keys = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
    found = [f"{key}: {a.get(key)} / {b.get(key)}" for key in keys if key not in aside]
    return [" ".join(difference.split()) for difference in found]
