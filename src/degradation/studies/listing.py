"""What a multirun shows: a live view while it is at work, and at its end the runs of each arm and
the command for those that are left.

Hydra imports this at every start, so what is slow to import comes later.
"""

import contextlib
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from degradation import stopping
from degradation.tracking import uploads

if TYPE_CHECKING:
    from degradation.config import Config
    from degradation.watch.progress import Planned

_made: "list[tuple[dict[str, Config], int]]" = []
"""Of the multirun that this process makes: its runs by name, and how many are refused."""
_meanwhile = contextlib.ExitStack()


class Sweep(Callback):
    """Hydra's account of the multirun ends with the first run that failed, so ours is kept here."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        uploads.tell_anew(Path(config.hydra.sweep.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        from degradation import cli, distributed

        self.on_run_start(config)
        if status := cli.guard(distributed.refuse_sweep):
            sys.exit(status)  # past Hydra, which would go on
        with contextlib.suppress(HydraException, OmegaConfBaseException):  # Hydra will tell
            with _hydra_aside():
                _made[:] = [_runs(config.hydra.overrides.task)]
            _meanwhile.enter_context(_at_work(_made[0][0]))


def tell(command: Sequence[str]) -> None:
    """Prints what a multirun says at its end, if this process has made one; command: as typed."""
    with stopping.closing():  # half of the view would stay
        _meanwhile.close()
    for line in lines(command):
        print(line)


@contextlib.contextmanager
def _at_work(runs: Mapping[str, "Config"]) -> Iterator[None]:
    """While it is, `make status` knows the runs from elsewhere, and a terminal shows them."""
    from degradation import config
    from degradation.watch import plans

    studies: dict[Path, dict[str, Config]] = {}
    for name, cfg in runs.items():
        studies.setdefault(config.study_dir(cfg), {})[name] = cfg
    with contextlib.ExitStack() as stack:
        for study, members in studies.items():
            stack.enter_context(plans.announced(study, planned(members)))
        if len(studies) == 1 and _is_interactive():  # a table is of one study
            stack.enter_context(_view(study, planned(runs)))
        yield


def _is_interactive() -> bool:
    if not sys.stdout.isatty():
        return False
    from rich.console import Console

    return Console().is_interactive


def _view(study: Path, runs: "Sequence[Planned]") -> contextlib.AbstractContextManager[None]:
    from degradation.watch import below, progress

    return below.below_lines(progress.Sweep(study, runs, is_own=True, began=time.time_ns()))


def planned(runs: Mapping[str, "Config"]) -> list["Planned"]:
    """For the live view."""
    from degradation.watch import progress

    return [
        progress.planned(name, cfg.schedule.iterations, cfg.model.depth)
        for name, cfg in runs.items()
    ]


@contextlib.contextmanager
def _hydra_aside() -> Iterator[None]:
    """The multirun's own Hydra, of which there can be one at a time."""
    hydra = GlobalHydra.instance().hydra
    assert hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().initialize(hydra)


def lines(command: Sequence[str]) -> Iterator[str]:
    """Of the multirun that this process made, if it did; the command as it was typed."""
    if not _made:
        return
    cfgs, refused = _made.pop()
    if not cfgs:
        return
    from degradation import config, records

    arms: dict[str, list[str]] = {}
    ended = 0
    for name, cfg in cfgs.items():
        try:
            state = records.how_far(config.study_dir(cfg) / "runs" / name, cfg.schedule.iterations)
        except (records.RecordError, OSError):
            state = "damaged"  # the run itself has said how
        ended += state in (records.FINISHED, records.DIVERGED)
        arms.setdefault(records.arm_of(name), []).append(f"s{cfg.seed} {state}")
    all_runs = f"{len(cfgs) + refused} run{'s' * (len(cfgs) + refused != 1)}"
    yield f"{all_runs}: {ended} ended, {len(cfgs) - ended} not, {refused} refused"
    yield from (f"  {arm:<20} {', '.join(states)}" for arm, states in arms.items())
    if ended < len(cfgs):
        yield f"what is left: degradation {shlex.join(command)}"
    yield from _urls(cfgs.values())


def _runs(overrides: Sequence[str]) -> tuple[dict[str, "Config"], int]:
    """The runs by name, and how many are refused for their config, which have their lines."""
    from degradation import cli, config, environment

    points, cfgs = cli.points(overrides), []
    for point in points:
        with contextlib.suppress(ValueError, OSError):
            cfgs.append(environment.on_this_machine(config.from_dict(point)))
    return cli.named(cfgs, environment.on_this_machine), len(points) - len(cfgs)


def _urls(cfgs: Iterable["Config"]) -> Iterator[str]:
    from degradation import config
    from degradation.tracking import account

    for study, mode in dict.fromkeys((config.study_dir(cfg), cfg.tracking.mode) for cfg in cfgs):
        with contextlib.suppress(config.ConfigError):  # has had its line
            if account.resolve_mode(mode) == "online" and (url := uploads.project_url(study)):
                yield f"W&B: {url}"
