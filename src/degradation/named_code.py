"""The files of `conf/` hold values and name no code: Hydra would call what a `_target_` names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from degradation import identity, plain
from degradation.config import ConfigError

_OF_HYDRA = (
    *("mode", "output_subdir", "run.dir", "sweep.dir", "sweep.subdir"),
    *("job.name", "job.chdir", "sweeper.params"),
)
"""What a file may set below `hydra`; its logging and callbacks would be called, and its `env_set`
would change the environment.
"""
_OURS = ("hydra_plugins.", "degradation.listing.")
"""What files below `conf/hydra` may name: launchers, and what a multirun says at its end."""
_HEADER = re.compile(r"^\s*#\s*@(?!package\s+_global_\s*$)(.*)", re.MULTILINE)


def refuse(conf: Path) -> None:
    """Raises ConfigError for a file below `conf` that could make Hydra call something.

    What is typed on a command line is not looked at: that is trusted, like a script.
    """
    for path in sorted(conf.rglob("*.yaml")):
        try:
            tree = plain.yaml_of(path)
        except plain.PlainError as error:
            raise ConfigError(f"{path}: not YAML of plain values: {error}") from None
        for name in _names(tree, path.relative_to(conf).parts[0] == "hydra"):
            raise ConfigError(f"{path}: {name!r}; accepted: values, no names of code")
        if found := _HEADER.search(path.read_text(encoding="utf-8")):
            raise ConfigError(f"{path}: # @{found[1]}; accepted: # @package _global_, or none")


def _names(tree: Any, is_hydras: bool) -> Iterator[str]:
    """Keys that name code, or that put a file's values where Hydra looks for such names."""
    own = tree.get("hydra", {}) if isinstance(tree, dict) else {}
    for key in identity.flatten(own) if isinstance(own, dict) else ["hydra"]:
        if not f"{key}.".startswith(tuple(f"{known}." for known in _OF_HYDRA)):
            yield f"hydra.{key}"
    for key, value in _entries(tree):
        is_ours = is_hydras and str(value).startswith(_OURS)
        if "@" in key or key in ("()", "class") or (key == "_target_" and not is_ours):
            yield key


def _entries(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    pairs = tree.items() if isinstance(tree, dict) else ()
    for key, value in pairs:
        yield str(key), value
        yield from _entries(value)
    for value in tree if isinstance(tree, list) else ():
        yield from _entries(value)
