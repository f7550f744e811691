"""Write W&B's copy of a study's runs anew from their records (`make mirror`): what W&B lost on a
full disk or with a kill is back, and nothing is there twice.
"""

import argparse
import contextlib
import sys
from pathlib import Path

import filelock

from degradation import cli, config, records, tracking
from degradation.config import ConfigError
from degradation.locks import LOCK


def mirror_study(experiment: str, preset: str, mode: str) -> None:
    """From outputs/, or from results/ where there is nothing; the copy goes to outputs/."""
    study = Path("outputs", experiment, preset)
    places = (study, Path("results", experiment, preset))
    runs = next(filter(None, (list(records.run_dirs(place)) for place in places)), None)
    if runs is None:
        raise ConfigError(f"{experiment}/{preset}: no runs in {places[0]} or {places[1]}")
    mirrored = sum(mirror_run(run_dir, study, mode) for run_dir in runs)
    print(f"{mirrored} of {len(runs)} runs in {study / 'wandb'}")


def mirror_run(run_dir: Path, study: Path, mode: str) -> bool:
    """Whether it was; not while a process trains it, which writes W&B's copy itself."""
    lock = run_dir / LOCK
    try:
        with filelock.FileLock(lock, timeout=0) if lock.exists() else contextlib.nullcontext():
            run = records.read_run(run_dir)
            cfg = config.from_dict(run.config)
            cfg.tracking.mode = mode
            with tracking.mirror(
                cfg,
                run_name=run.name,
                arm=run.arm,
                config_hash=config.config_hash(cfg),
                study_dir=study,
                rows_so_far=run.rows,
                git_commit=run.environment.get("git_commit"),
            ) as copy:
                if run.summary:
                    copy.summarize(run.summary)
                return copy.alive
    except filelock.Timeout:
        print(f"{run_dir}: another process is at work on this run")
        return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--mode", default="auto", help="auto, offline or online")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: mirror_study(options.experiment, options.preset, options.mode)))
