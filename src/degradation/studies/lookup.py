"""Where a study lies, for commands that are told its name, its preset and Hydra's overrides: it is
`output_root` that matters.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException

from degradation import cli, config, records
from degradation.config import Config, ConfigError

ADHOC = "adhoc"
"""Runs without a study: nothing is planned, what lies there is shown."""


def study_of(
    experiment: str, preset: str, overrides: Sequence[str] = ()
) -> tuple[Path, dict[str, Config]]:
    """Its folder, and its planned runs by name. Raises ConfigError, and Hydra's errors."""
    check_names(experiment=experiment, preset=preset)
    if experiment == ADHOC:
        point, *_ = cli.points([f"preset={preset}", *overrides])
        return config.study_dir(config.from_dict(point)), {}
    runs = cli.sweep(experiment, preset, overrides)
    return config.study_dir(next(iter(runs.values()))), runs


def check_names(**names: str) -> None:
    """Raises ConfigError for what Hydra would take for a number, or for a list."""
    for key, name in names.items():
        if not name.isidentifier():
            raise ConfigError(f"{key}: {name!r}; accepted: a name")


def seed_axis(seeds: str) -> list[str]:
    """`0, 1 2` -> `seed=0,1,2`, each once: a run cannot be made twice side by side."""
    found = re.split(r"[,\s]+", seeds.strip()) if seeds.strip() else []
    if not all(re.fullmatch("[0-9]{1,10}", seed) for seed in found):
        raise ConfigError(f"seeds: {seeds!r}; accepted: whole numbers from 0, such as 0,1,2")
    return [f"seed={','.join(dict.fromkeys(str(int(seed)) for seed in found))}"] if found else []


def arms_of(
    experiment: str, preset: str, overrides: Sequence[str] = ()
) -> tuple[Path, dict[str, Config]]:
    """`study_of` with a run of each arm, without the composing of every seed's."""
    return study_of(experiment, preset, ["seed=0", *overrides])


def folder_of(experiment: str, preset: str, overrides: Sequence[str] = ()) -> Path:
    """Its folder alone, also where not every arm of it can be composed."""
    check_names(experiment=experiment, preset=preset)
    return Path(cli.output_root(experiment, preset, overrides), experiment, preset)


def config_of(run_dir: Path) -> Config:
    """As its own record has it. Raises ConfigError or RecordError, naming the file."""
    try:
        return config.from_dict(records.read_config(run_dir) or {})
    except (ConfigError, OmegaConfBaseException) as error:
        raise ConfigError(f"{run_dir / records.CONFIG}: {cli.one_line(error)}") from None
