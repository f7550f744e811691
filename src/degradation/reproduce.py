"""The whole study in one go: data, preset, sweep, figures, verdict."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from degradation import cli, config, environment, estimate, records
from degradation.analysis import live, report
from degradation.config import Config, HardwareConfig
from degradation.data.images import DownloadError, load_images

LIMIT_S = 2 * 3600.0
"""Preset `paper` is taken where it will finish within this time."""


def reproduce(experiment: str, preset: str, seeds: str, data_root: str) -> int:
    """Runs what is missing of a study, reports on it and returns the exit status.

    preset: empty to choose by timing. data_root: empty for the cache folder. Raises what
    `cli.one_line` can put into a line.
    """
    experiment = with_data(experiment, data_root)
    overrides = [f"seed={seeds}"] if seeds else []
    preset = preset or choose_preset(experiment, overrides)
    runs = cli.sweep(experiment, preset, overrides)
    study = config.study_dir(next(iter(runs.values())))
    missing = len(unfinished(runs))
    print(f"{experiment}, preset {preset}: {len(runs)} runs, {missing} to do, in {study}")
    arguments = [f"+experiment={experiment}", f"preset={preset}", *overrides]
    arguments += [f"data.root={data_root}"] if data_root else []
    failed = missing > 0 and sweep(arguments, study, runs) != 0
    if records.read_study(study):
        report.write_report(study)
        committed = Path("results") / experiment / preset
        print(report.closing_text(study, committed if committed.is_dir() else None))
    return 1 if failed else 0


def with_data(experiment: str, data_root: str) -> str:
    """The experiment itself if CIFAR-10 is at hand, its form on the `shapes` set if not."""
    try:
        if not experiment.endswith("_shapes"):
            load_images("cifar10", data_root or None)
    except DownloadError as error:
        stand_in = f"{experiment}_shapes"
        if not (cli.conf_dir() / "experiment" / f"{stand_in}.yaml").exists():
            raise
        rule = "=" * 88
        print(
            f"{rule}\nNO CIFAR-10 HERE. {error}\n\nGoing on with the procedural set `shapes`, as "
            f"{stand_in}: it can show the effect,\nbut it is NOT CIFAR-10 and none of its numbers "
            f"stands beside the paper's.\n{rule}",
            flush=True,
        )
        return stand_in
    return experiment


def choose_preset(experiment: str, overrides: Sequence[str]) -> str:
    """`paper` where it will finish within the limit; says which, why and how long."""
    print("timing a few steps of this machine ...", flush=True)
    seconds = {}
    for preset in ("paper", "quick"):
        left = unfinished(cli.sweep(experiment, preset, overrides))
        seconds[preset] = estimate.sweep_s(list(left.values())) if left else 0.0
    chosen = "paper" if seconds["paper"] <= LIMIT_S else "quick"
    machine = environment.device_name(environment.select_device(HardwareConfig()))
    print(
        f"{machine}: preset paper would take about {live.duration(seconds['paper'])}, "
        f"{'within' if chosen == 'paper' else 'more than'} the limit of {live.duration(LIMIT_S)}; "
        f"taking preset {chosen}, about {live.duration(seconds[chosen])} "
        "(estimates; PRESET= overrides)",
        flush=True,
    )
    return chosen


def planned(runs: Mapping[str, Config]) -> list[live.Planned]:
    """For the live view; a step costs about in proportion to the depth."""
    return [
        live.Planned(name, run.schedule.iterations, run.schedule.iterations * run.model.depth)
        for name, run in runs.items()
    ]


def unfinished(runs: Mapping[str, Config]) -> dict[str, Config]:
    """The runs that have no end on record."""
    study = config.study_dir(next(iter(runs.values())))
    states = live.look(study, planned(runs))
    return {run.plan.name: runs[run.plan.name] for run in states if run.status == "unfinished"}


def sweep(arguments: Sequence[str], study: Path, runs: Mapping[str, Config]) -> int:
    """The Hydra multirun that anybody could have typed, watched; its exit status."""
    if environment.select_device(HardwareConfig()).type == "cpu":
        arguments = [*arguments, "hydra/launcher=pool"]
    study.mkdir(parents=True, exist_ok=True)
    log = study / "sweep.log"
    print(f"$ degradation {' '.join(arguments)} > {log}", flush=True)
    with log.open("w") as output:
        command = [sys.executable, "-m", "degradation", *arguments]
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            live.watch(study, planned(runs), lambda: process.poll() is None, Console())
        finally:
            _end(process)
    if process.returncode:
        print(f"the sweep ended with status {process.returncode}; {log} ends:", file=sys.stderr)
        print("\n".join(log.read_text().splitlines()[-5:]), file=sys.stderr)
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the sweep and its pool: a pool whose parent alone is killed would train on."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
