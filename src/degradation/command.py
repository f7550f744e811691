"""`degradation`: between the command line and a run, by Hydra."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from degradation import cli, config, distributed, lines, named_code, stopping
from degradation.begin import Loader, load_data
from degradation.studies import listing
from degradation.train import Turns, in_turns, run

POOL_ENDED = "a process of the pool was killed, perhaps for want of memory, and the pool with it"


@hydra.main(version_base="1.3", config_path=str(cli.conf_dir()), config_name="config")
def _hydra_main(composed: DictConfig) -> None:
    stopping.obey()  # in a process of the pool; elsewhere `main` has said so
    if stopped := stopping.noted():
        raise cli.RunFailed(stopped.status)  # the turn of the runs after the one that was stopped
    if status := cli.guard(lambda: _job(composed)):
        if stopping.is_worker() and stopping.is_orphan():
            os._exit(status)  # the pool would wait for its next run for ever
        one_of_many = HydraConfig.get().mode == RunMode.MULTIRUN
        if one_of_many and (stopping.is_worker() or not stopping.noted()):
            raise cli.RunFailed(status)
        sys.exit(status)  # past Hydra, which would add a line of its own to ours


def composed_in_turns(
    composed: DictConfig, overrides: Sequence[str], load: Loader = load_data
) -> Turns:
    """A run from what Hydra composed; the config's mistakes are the run's own."""
    cfg = config.from_dict(composed)
    return (yield from in_turns(cfg, cli.baseline(cfg), overrides, load))


def _job(composed: DictConfig) -> None:
    cfg = config.from_dict(composed)
    with distributed.joined():
        run(cfg, cli.baseline(cfg), HydraConfig.get().overrides.task)


def main() -> None:
    """`degradation`: a wrong key, value, file or folder ends in one line and exit status 2; a
    signal, in a run that can be continued and 128 and its number.
    """
    with stopping.obeyed():
        try:
            status = _status()
        except KeyboardInterrupt:  # another one, while the first had its line
            status = 1
        finally:
            told = cli.guard(lambda: listing.tell(sys.argv[1:]))
        stopped = stopping.noted()
    sys.exit(stopped.status if stopped else status or told)


def _status() -> int:
    try:
        return cli.guard(_checked_main)
    except SystemExit as end:  # past Hydra; one that has words is not ours
        if not isinstance(end.code, int):
            raise
        return end.code
    except BrokenProcessPool:
        if not stopping.noted():
            lines.say(f"error: {POOL_ENDED}", sys.stderr)  # the others may still be writing
    except Exception:
        if not stopping.noted():  # else it is a pool's way to say that it was ended
            raise
    return 1


def _checked_main() -> int | None:
    named_code.refuse(cli.conf_dir())
    status: int | None = _hydra_main()
    return status


if __name__ == "__main__":
    main()
