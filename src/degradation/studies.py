"""Where a study lies, for commands that are told its name, its preset and Hydra's overrides: it is
`output_root` that matters.
"""

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
    for key, name in (("experiment", experiment), ("preset", preset)):
        if not name.isidentifier():  # Hydra would take it for a number, or for a list
            raise ConfigError(f"{key}: {name!r}; accepted: a name")
    if experiment == ADHOC:
        point, *_ = cli.points([f"preset={preset}", *overrides])
        return config.study_dir(config.from_dict(point)), {}
    runs = cli.sweep(experiment, preset, overrides)
    return config.study_dir(next(iter(runs.values()))), runs


def arms_of(
    experiment: str, preset: str, overrides: Sequence[str] = ()
) -> tuple[Path, dict[str, Config]]:
    """The same with a run of each arm, without the composing of every seed's."""
    return study_of(experiment, preset, ["seed=0", *overrides])


def folder_of(experiment: str, preset: str, overrides: Sequence[str] = ()) -> Path:
    return arms_of(experiment, preset, overrides)[0]


def config_of(run_dir: Path) -> Config:
    """As its own record has it. Raises ConfigError or RecordError, naming the file."""
    try:
        return config.from_dict(records.read_config(run_dir) or {})
    except (ConfigError, OmegaConfBaseException) as error:
        raise ConfigError(f"{run_dir / records.CONFIG}: {cli.one_line(error)}") from None
