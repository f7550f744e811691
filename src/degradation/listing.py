"""What a multirun says at its end: the runs of each arm, and the command for those that are left.

Hydra imports this at every start, so what is slow to import comes later.
"""

import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from degradation import uploads

if TYPE_CHECKING:
    from degradation.config import Config

_overrides: list[str] = []


class Sweep(Callback):
    """Hydra's account of the multirun ends with the first run that failed, so ours is kept here."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        uploads.tell_anew(Path(config.hydra.sweep.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        from degradation import cli, distributed

        self.on_run_start(config)
        if status := cli.guard(distributed.refuse_sweep):
            sys.exit(status)  # past Hydra, which would go on
        _overrides[:] = config.hydra.overrides.task
        if sys.stdout.isatty():
            study = f"EXPERIMENT={config.experiment} PRESET={config.preset}"
            print(f"all arms in a table, from another terminal: make status {study}", flush=True)


def lines(command: Sequence[str]) -> Iterator[str]:
    """Of the multirun that this process made, if it did; the command as it was typed."""
    overrides = list(_overrides)
    _overrides.clear()
    if not overrides:
        return
    from degradation import cli, config, environment, records

    points, cfgs = cli.points(overrides), []
    for point in points:
        with contextlib.suppress(ValueError):  # has had its line
            cfgs.append(environment.on_this_machine(config.from_dict(point)))
    if not cfgs:
        return
    arms: dict[str, list[str]] = {}
    ended, refused = 0, len(points) - len(cfgs)
    for name, cfg in cli.named(cfgs).items():
        try:
            state = records.how_far(config.study_dir(cfg) / "runs" / name, cfg.schedule.iterations)
        except (records.RecordError, OSError):
            state = "damaged"  # the run itself has said how
        ended += state in (records.FINISHED, records.DIVERGED)
        arms.setdefault(records.arm_of(name), []).append(f"s{cfg.seed} {state}")
    yield f"{len(points)} runs: {ended} ended, {len(cfgs) - ended} not, {refused} refused"
    yield from (f"  {arm:<20} {', '.join(states)}" for arm, states in arms.items())
    if ended < len(cfgs):
        yield f"what is left: degradation {shlex.join(command)}"
    yield from _urls(cfgs)


def _urls(cfgs: Iterable["Config"]) -> Iterator[str]:
    from degradation import account, config

    for study, mode in dict.fromkeys((config.study_dir(cfg), cfg.tracking.mode) for cfg in cfgs):
        with contextlib.suppress(config.ConfigError):  # has had its line
            if account.resolve_mode(mode) == "online" and (url := uploads.project_url(study)):
                yield f"W&B: {url}"
