"""Between Hydra and the user: the schema, the study's baseline, and one line for whatever a user
got wrong.
"""

import difflib
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from degradation import config, identity, lines, plain, stopping
from degradation.config import Config, ConfigError

Made = Callable[[Config], Config]
"""A config as it is made somewhere: `environment.on_this_machine`, or as it stands."""

FIRST_SPEAKS_S = 60
"""Seconds in which one of several processes must find what is wrong, so that one line is enough."""

OVERRIDES = (
    "key=value; of a sweep key=a,b or 'key=range(0,5)', without blanks; folders in full, without "
    "~; other signs in quotes within quotes, 'key=\"a=b\"'"
)


def conf_dir() -> Path:
    """`conf/`: package data in an installed wheel, at the top of a checkout."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def from_table(name: str, *keys: str) -> float:
    """`${table:chosen_lr,quick,plain-56}`: an entry of `conf/chosen_lr.yaml`, for a value that a
    study has arm by arm. Raises ConfigError where there is none.
    """
    path = conf_dir() / f"{name}.yaml"
    try:
        entry: Any = plain.yaml_of(path)
    except plain.PlainError as error:
        raise ConfigError(f"{path}: not YAML of plain values: {error}") from None
    for key in keys:
        entry = entry.get(key) if isinstance(entry, dict) else None
    if not plain.is_number(entry):
        raise ConfigError(f"{path}: nothing for {' '.join(keys)}; its head says how to make it")
    return float(entry)


ConfigStore.instance().store(name="schema", node=Config)
OmegaConf.register_new_resolver("table", from_table)
for _resolver in ("oc.env", "oc.create"):  # a record would keep the one, the other makes objects
    OmegaConf.clear_resolver(_resolver)


def baseline(cfg: Config) -> Config:
    """The config of cfg's study at its kind and depth before any other override; what differs from
    it goes into a run's name. Composed by the Hydra that is at work.
    """
    return _at_arm(_study(cfg.experiment, cfg.preset), cfg)


def output_root(experiment: str, preset: str, overrides: Sequence[str] = ()) -> str:
    """Of a study, of whose runs one is composed and not looked at. Raises Hydra's errors."""
    overrides = [_choices(one)[0] for one in overrides if not one.startswith("hydra")]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return str(_study(experiment, preset, overrides).output_root)


def _study(experiment: str, preset: str, overrides: Sequence[str] = ()) -> DictConfig:
    chosen = [] if experiment == "adhoc" else [f"+experiment={experiment}"]
    return hydra.compose("config", [f"preset={preset}", *chosen, *overrides])


def _at_arm(study: DictConfig, cfg: Config) -> Config:
    arm = {"model": {"kind": cfg.model.kind, "depth": cfg.model.depth}}
    return config.unchecked(OmegaConf.merge(study, arm))  # type: ignore[arg-type]


def sweep(
    experiment: str, preset: str, overrides: Sequence[str] = (), made: Made = lambda cfg: cfg
) -> dict[str, Config]:
    """A study's runs by name, in the order in which they are started; an override replaces an axis.

    Raises Hydra's errors for an unknown experiment or preset and ConfigError for a wrong value.
    """
    study = [f"+experiment={experiment}", f"preset={preset}"]
    return named((made(config.from_dict(point)) for point in points([*study, *overrides])), made)


def points(overrides: Sequence[str]) -> list[DictConfig]:
    """What `degradation -m` makes of its overrides: a config for each run, in their order.

    Raises Hydra's errors.
    """
    overrides = [override for override in overrides if not override.startswith("hydra")]
    keys = ("+experiment=", "preset=")
    fixed = [one for one in overrides if one.startswith(keys) and len(_choices(one)) == 1]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        with_hydra = hydra.compose("config", fixed, return_hydra_config=True)
        axes = {
            key: f"{key}={axis}" for key, axis in (with_hydra.hydra.sweeper.params or {}).items()
        }
        axes |= {one.partition("=")[0]: one for one in overrides if one not in fixed}
        choices = [_choices(axis) for axis in axes.values()]

        @cache
        def of(chosen: tuple[str, ...]) -> DictConfig:
            return hydra.compose("config", [*fixed, *chosen])

        def at(point: Sequence[str]) -> DictConfig:
            chosen = tuple(filter(_is_composed, point))
            cfg = of(chosen).copy()
            for choice in point:
                if choice not in chosen:  # composing with the values too takes a tenth of a second
                    (parsed,) = OverridesParser.create().parse_overrides([choice])
                    OmegaConf.update(cfg, parsed.get_key_element(), parsed.value())
            return cfg

        return [at(point) for point in product(*choices)]


def named(runs: Iterable[Config], made: Made = lambda cfg: cfg) -> dict[str, Config]:
    """Runs, as they are `made`, by the names of their directories."""
    study = cache(_study)

    def base(run: Config) -> Config:
        return made(_at_arm(study(run.experiment, run.preset), run))

    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return {config.run_name(run, base(run)): run for run in runs}


def _is_composed(choice: str) -> bool:
    """Whether a choice is of a group, or of more than a value."""
    key = choice.partition("=")[0]
    return key.startswith(("+", "~")) or (conf_dir() / key).is_dir()


def _choices(override: str) -> list[str]:
    """`seed=range(0,2)` -> `seed=0`, `seed=1`, as Hydra's sweeper reads it."""
    (parsed,) = OverridesParser.create().parse_overrides([override])
    if not parsed.is_sweep_override():
        return [override]
    return [f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()]


class RunFailed(Exception):
    """Ends one run of a sweep, after its line; Hydra goes on with the others. Holds the status."""


def guard(task: Callable[[], int | None]) -> int:
    """The exit status of a task: its own, or 2 after one line for what a user got wrong.

    HYDRA_FULL_ERROR=1 shows the traceback instead of the line. A guard within a guard, also in a
    worker process, does as the first was told.
    """
    told = os.environ.get("HYDRA_FULL_ERROR", "0")
    wanted = os.environ.setdefault("DEGRADATION_FULL_ERROR", told) == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing its own account
    try:
        return task() or 0
    except KeyboardInterrupt as interrupt:
        stopped = stopping.Stopped(signal.SIGINT)
        if isinstance(interrupt, stopping.Stopped):
            stopped = interrupt
        if _is_first():
            lines.say(f"{stopped.word}; the same command continues", sys.stderr)
        return stopped.status
    except RunFailed as failed:
        return int(failed.args[0])
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if wanted or not _is_users(error):
            traceback.print_exc()
            return 1
        if isinstance(error, OSError) or not _left_to_the_first():
            lines.say(f"error: {one_line(error)}", sys.stderr)
        return 2


def _is_first() -> bool:
    """Of the processes of torchrun, if it has started this one."""
    return stopping.TORCHRUN not in os.environ or os.environ["RANK"] == "0"


def _left_to_the_first() -> bool:
    """Whether what is wrong has its line from the first process: torchrun then ends this one. A
    file or a connection may fail one alone; what the user has set seldom does.
    """
    if _is_first():
        return False
    try:
        time.sleep(FIRST_SPEAKS_S)  # had this one ended before, torchrun would end the first
    except KeyboardInterrupt:
        return True
    return False


def _is_users(error: Exception) -> bool:
    """Ours carry a message for the user; a bare ValueError out of another library than Hydra is a
    bug and keeps its traceback.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    origins = (type(error).__module__, frame.f_globals["__name__"])
    return (
        not isinstance(error, ValueError)
        or origins[0].startswith("degradation")
        or any(origin.startswith(("hydra", "omegaconf")) for origin in origins)
    )


def one_line(error: BaseException) -> str:
    """The line for the user: the key or file, what was found, what is accepted."""
    return " ".join(_told(error).split())


def _told(error: BaseException) -> str:
    chain = [error]
    while isinstance(cause := chain[-1].__cause__, HydraException | OmegaConfBaseException):
        chain.append(cause)
    text = "\n".join(map(str, chain))
    for pattern, told in () if isinstance(error, ConfigError) else _HYDRAS:
        if match := re.search(pattern, text, re.DOTALL):
            return told(match)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: no override; accepted: {OVERRIDES}"
    return text


def _no_such_key(key: str) -> str:
    keys = list(identity.flatten(OmegaConf.to_container(OmegaConf.structured(Config))))  # type: ignore[arg-type]
    if key in keys:
        return f"{key}: is added, not overridden; accepted: +{key}=<name>"
    close = difflib.get_close_matches(key, keys, 3, 0.5)
    return f"{key}: no such key; accepted: {', '.join(close) or 'see the configuration reference'}"


def _no_such_choice(group: str, choice: str) -> str:
    choices = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return f"{group}: {choice!r}; accepted: {', '.join(choices)}"


_HYDRAS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (
        r"Could not override '([^']+)'|Key '[^']+' (?:is )?not in .*?full_key: (\S+)",
        lambda found: _no_such_key(found[1] or found[2]),
    ),
    (
        r"Value '(.*)' of type '.*' could not be converted to (\w+)\s+full_key: (\S+)",
        lambda found: f"{found[3]}: {found[1]!r}; accepted: {found[2].lower()}",
    ),
    (
        r"Invalid value assigned: \w+ is not a ListConfig.*full_key: (\S+)",
        lambda found: f"{found[1]}: one value; accepted: a list, '{found[1]}=[...]'",
    ),
    (
        r"Ambiguous value for argument '([^=\s]+)=([^\n]*)'\s+1\. To use",
        lambda found: (
            f"{found[1]}: {found[2]!r}; accepted: one value; several with -m in front of "
            f"all; a list as '{found[1]}=[a,b]'"
        ),
    ),
    (r"Could not load '([^']+)/([^'/]*)'", lambda found: _no_such_choice(found[1], found[2])),
    (
        r"Could not find '([^']+)/([^'/]*)'\s+Available options in '[^']+':\n((?:\t[^\n]*\n?)+)",
        lambda found: f"{found[1]}: {found[2]!r}; accepted: {', '.join(found[3].split())}",
    ),
    (
        r"(?:\w+ raised while resolving interpolation: )?([^\n]+)\s+full_key: (\S+)",
        lambda found: f"{found[2]}: {found[1]}",
    ),
)
"""What Hydra and OmegaConf say, and how it is told; the first that fits."""
