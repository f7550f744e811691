"""The files of `conf/` hold values and name no code: Hydra would call what a `_target_` names."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from degradation import identity, plain
from degradation.config import ConfigError

_OF_HYDRA = {
    *("mode", "output_subdir", "run.dir", "sweep.dir", "sweep.subdir"),
    *("job.name", "job.chdir"),
}
"""What a file may set below `hydra`, besides axes; its logging and callbacks would be called, and
its `env_set` would change the environment.
"""
_AXES = "sweeper.params."
"""Overrides, as they could be typed: of values and groups, but not of Hydra's own."""
_AXIS = re.compile(r"\+{0,2}(?!hydra\b)\w[\w./]*", re.ASCII)
_CHOICE = re.compile(r"((override|optional) +)*/?(\w+/)*\w[\w.-]*", re.ASCII)
"""A group, an option or a file in a `defaults` list: none outside the folder, and no `@`, which
puts what is chosen in another place.
"""
_LAUNCHERS = (
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.degradation_fleet.FleetLauncher",
    "hydra_plugins.degradation_slurm.SlurmLauncher",
)
_TARGETS: dict[tuple[str, ...], set[tuple[str, str]]] = {
    ("hydra", "launcher"): {("_target_", name) for name in _LAUNCHERS},
    ("hydra", "callbacks"): {("listing._target_", "degradation.studies.listing.Sweep")},
}
"""The folders that there may be for Hydra itself, and what their files may name, where."""
_HEADER = re.compile(r"^\s*#\s*@(?!package\s+_global_\s*$)(.*)", re.MULTILINE)
MOST_FOLDERS = 200
"""Ours has 14; links that lead back to where they stand would make it thousands."""


def refuse(conf: Path, arguments: Sequence[str] | None = None) -> None:
    """Raises ConfigError for a file that could make Hydra call something: below `conf`, and below
    the folder that the arguments of the command (None: of this process) put beside it or in its
    place.

    The overrides on a command line are not looked at: these are trusted, like a script.
    """
    for folder in (conf, *_given(sys.argv[1:] if arguments is None else arguments)):
        for path in list(_files(folder)):  # whether there is an end to them, first
            _refuse_file(path, path.relative_to(folder).parts[:-1])


def _given(arguments: Sequence[str]) -> Iterator[Path]:
    """As Hydra reads its options; a folder that is not there has Hydra's own line."""
    parser = argparse.ArgumentParser(add_help=False)
    for long, short in (("path", "p"), ("dir", "d"), ("name", "n")):
        parser.add_argument(f"--config-{long}", f"-c{short}")
    parser.add_argument("--cfg", "-c")
    given, _ = parser.parse_known_args(arguments)
    if given.config_path and given.config_path.startswith("pkg:"):
        raise ConfigError(f"--config-path: {given.config_path!r}; accepted: a folder")
    beside = Path(__file__).parent  # Hydra: relative to the file with the command
    folders = [beside / (given.config_path or "/"), Path(given.config_dir or "/")]
    yield from (folder for folder in folders if folder != Path("/") and folder.is_dir())


def _files(conf: Path) -> Iterator[Path]:
    """Each that Hydra could find, also by way of links. Raises OSError for a folder that cannot be
    listed, since its files could be read all the same.
    """

    def fail(error: OSError) -> None:
        raise error

    walk = os.walk(conf, onerror=fail, followlinks=True)
    for number, (folder, names, files) in enumerate(walk, 1):
        if number > MOST_FOLDERS:
            raise ConfigError(
                f"{conf}: more than {MOST_FOLDERS} folders, or a link to a folder that holds it; "
                "accepted: a folder of configs"
            )
        names.sort()
        yield from (Path(folder, name) for name in sorted(files) if name.lower().endswith(".yaml"))


def _refuse_file(path: Path, group: tuple[str, ...]) -> None:
    names = re.split(r"\.|_global_", ".".join(group).lower())  # as Hydra makes places of folders
    if "hydra" in names and group not in _TARGETS:
        known = ", ".join("/".join(folder) for folder in _TARGETS)
        raise ConfigError(f"{path}: a folder for Hydra itself; accepted: {known}")
    try:
        tree = plain.yaml_of(path)
    except plain.PlainError as error:
        raise ConfigError(f"{path}: not YAML of plain values: {error}") from None
    for name in (*_of_hydra(tree), *_targets(tree, group), *_choices(tree)):
        raise ConfigError(f"{path}: {name!r}; accepted: values, no names of code")
    if found := _HEADER.search(path.read_text(encoding="utf-8")):
        raise ConfigError(f"{path}: # @{found[1]}; accepted: # @package _global_, or none")


def _of_hydra(tree: Any) -> Iterator[str]:
    """Keys that set what Hydra itself does."""
    own = tree.get("hydra", {}) if isinstance(tree, dict) else {}
    for key, value in (identity.flatten(own) if isinstance(own, dict) else {"hydra": own}).items():
        if key.startswith(_AXES):
            axis, text = key.removeprefix(_AXES), str(value)
            if not _AXIS.fullmatch(axis) or ".." in text or "$" in text:
                yield f"hydra.{key}: {text}"
        elif key not in _OF_HYDRA:
            yield f"hydra.{key}"


def _targets(tree: Any, group: tuple[str, ...]) -> Iterator[str]:
    """Keys that name code, or that put values where Hydra looks for such names."""
    for place, value in _entries(tree):
        key = place[-1]
        is_known = (".".join(place), str(value)) in _TARGETS.get(group, ())
        if "@" in key or key in ("()", "class") or (key == "_target_" and not is_known):
            yield key


def _choices(tree: Any) -> Iterator[str]:
    """Entries of a `defaults` list that could lead out of the folder, or to another place."""
    entries = tree.get("defaults") if isinstance(tree, dict) else None
    waiting = [entries]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            waiting += [*entry.keys(), *entry.values()]
        elif isinstance(entry, list):
            waiting += entry
        elif isinstance(entry, str) and not _CHOICE.fullmatch(entry):
            yield f"defaults: {entry}"


def _entries(tree: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key with those above it, and its value."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield (*place, str(key)), value
        yield from _entries(value, (*place, str(key)))
    for value in tree if isinstance(tree, list) else ():
        yield from _entries(value, place)
