"""The study that is asked about."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from degradation.doctor.page import flat

if TYPE_CHECKING:
    from degradation.config import Config


@dataclass(frozen=True)
class Asked:
    """A study as the other commands are told it."""

    experiment: str
    preset: str
    seeds: str = ""
    """Empty for the experiment's."""
    data_root: str = ""
    """Empty for the cache folder."""
    overrides: tuple[str, ...] = ()
    """`key=value` as `degradation` takes them."""

    @property
    def name(self) -> str:
        return f"{self.experiment}, preset {self.preset}"


@functools.cache
def planned(asked: Asked) -> tuple[Mapping[str, "Config"], str]:
    """The study's runs by name; without any, the reason in one line."""
    try:
        from degradation import cli  # here, because PyTorch may not load
        from degradation.studies import lookup, reproduce  # here, because PyTorch may not load
    except Exception as error:
        return {}, f"cannot be loaded: {type(error).__name__}: {flat(error)}"
    try:
        overrides = [*lookup.seed_axis(asked.seeds), *asked.overrides]
        return reproduce.made_plans(asked.experiment, asked.preset, overrides)[asked.preset], ""
    except Exception as error:
        return {}, cli.one_line(error)


def output_root(asked: Asked) -> Path:
    """Also of a study that cannot be planned."""
    plan, _ = planned(asked)
    given = dict(override.split("=", 1) for override in asked.overrides)
    roots = (run.output_root for run in plan.values())
    return Path(next(roots, given.get("output_root", "outputs")))
