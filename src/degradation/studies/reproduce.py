"""The whole study in one go: data, preset, sweep, figures, verdict."""

import contextlib
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import filelock
from hydra.core.override_parser.types import Quote, QuotedString
from rich.console import Console

from degradation import cli, config, environment, locks, train
from degradation.analysis import claims
from degradation.command import POOL_ENDED
from degradation.config import Config, ConfigError, HardwareConfig
from degradation.data.images import DownloadError, load_images
from degradation.studies import estimate, listing, lookup
from degradation.watch import live, progress
from degradation.watch.table import duration

LIMIT_S = 2 * 3600.0
"""Preset `paper` is taken where it will finish within this time."""

Plan = Mapping[str, Config]
"""A study's runs by name, in the order in which they are started."""


def reproduce(experiment: str, preset: str, seeds: str, data_root: str) -> int:
    """Runs what is missing of a study, reports on it and returns the exit status.

    preset: empty to choose by timing. seeds: empty for the experiment's. data_root: empty for the
    cache folder. Raises what `cli.one_line` can put into a line.
    """
    from degradation.analysis import (  # here: whoever asks for a plan draws no figures
        closing,
        overview,
        report,
    )

    overrides = lookup.seed_axis(seeds)
    plans = made_plans(experiment, preset, overrides)  # first: a name may be misspelt
    if any(unfinished(plan) for plan in plans.values()):
        needed = {run.data.name for plan in plans.values() for run in plan.values()}
        stand_in = with_data(experiment, data_root) if "cifar10" in needed else experiment
        if "mnist" in needed:  # better known now than once a run; the others are made, not found
            load_images("mnist", data_root or None)
        if stand_in != experiment:
            experiment, plans = stand_in, made_plans(stand_in, preset, overrides)
    preset = preset or choose_preset(experiment, plans)
    runs = plans[preset]
    study, missing = config.study_dir(next(iter(runs.values()))), len(unfinished(runs))
    print(f"{experiment}, preset {preset}: {len(runs)} runs, {missing} to do, in {study}")
    status = sweep(arguments(experiment, preset, seeds, data_root), study, runs) if missing else 0
    with reporting(study):
        report.write_report(study)
    committed = overview.RESULTS / experiment / preset
    print(closing.closing_text(study, committed if committed.is_dir() else None))
    return 1 if status else 0


def arguments(experiment: str, preset: str, seeds: str, data_root: str) -> list[str]:
    """What to type after `degradation` for the study."""
    fixed = [f"+experiment={experiment}", f"preset={preset}", *lookup.seed_axis(seeds)]
    return [*fixed, f"data.root={quoted(data_root)}"] if data_root else fixed


def quoted(text: str) -> str:
    """For Hydra, to which a comma, a blank or an equals sign means something; so that the command
    shown can be read, only where there may be one.
    """
    if re.fullmatch(r"/[A-Za-z0-9_./-]+", text):
        return text
    return str(QuotedString(text, Quote.single).with_quotes())


def made_plans(experiment: str, preset: str, overrides: Sequence[str]) -> dict[str, Plan]:
    """The study as this machine runs it, at the preset asked for or at each that has claims.

    Raises ClaimsError where it claims nothing for the preset: better now than after hours.
    """
    lookup.check_names(experiment=experiment, preset=preset or claims.PRESETS[0])
    presets = [preset] if preset else claims.PRESETS
    made = environment.on_this_machine
    plans = {name: cli.sweep(experiment, name, overrides, made) for name in presets}
    claimed = claims.load(claims.claims_path(experiment))
    if preset:
        claimed.for_preset(preset)
    with_claims = {name for claim in claimed.claims for name in claim.presets}
    return {name: plan for name, plan in plans.items() if name in with_claims}


def with_data(experiment: str, data_root: str) -> str:
    """The experiment itself if CIFAR-10 is at hand, its form on the `shapes` set if not."""
    try:
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


def choose_preset(experiment: str, plans: Mapping[str, Plan]) -> str:
    """`paper` where it will finish within the limit, else `quick`; says which, why and how long."""
    print("timing a few steps of this machine ...", flush=True)
    seconds = {}
    for preset, plan in plans.items():
        left = unfinished(plan)
        seconds[preset] = estimate.sweep_s(list(left.values())) if left else 0.0
    if "paper" in plans:
        chosen = "paper" if seconds["paper"] <= LIMIT_S else "quick"
        limit = f"{'within' if chosen == 'paper' else 'more than'} {duration(LIMIT_S)}"
        why = f"preset paper would take about {duration(seconds['paper'])}, {limit}"
    else:
        chosen, why = "quick", f"{experiment} claims nothing for preset paper"
    if chosen not in plans:
        raise ConfigError(f"{experiment}: {why}, and no claims are made for quick; PRESET=paper")
    machine = environment.device_name(environment.select_device(HardwareConfig()))
    print(
        f"{machine}: {why}; taking preset {chosen}, about {duration(seconds[chosen])} "
        "(estimates, without probes; PRESET= overrides)",
        flush=True,
    )
    return chosen


def unfinished(runs: Plan) -> dict[str, Config]:
    """The runs that have no end on record. Raises ConfigError for a run of another config there."""
    study = config.study_dir(next(iter(runs.values())))
    for name, run in runs.items():
        train.refuse_other_config(study / "runs" / name, run)
    states = progress.Sweep(study, listing.planned(runs)).look()
    return {run.plan.name: runs[run.plan.name] for run in states if not run.has_ended}


def sweep(
    arguments: Sequence[str],
    study: Path,
    runs: Plan,
    at_each_look: Callable[[], object] = lambda: None,
) -> int:
    """The Hydra multirun that anybody could have typed, watched; its exit status.

    Somebody else may be at work on the same study: each takes the runs that the other is not at,
    and waits for those at the end; what the other one leaves undone is taken over. And a pool that
    was killed is started again, as long as that gets the study on.
    """
    device = environment.select_device(HardwareConfig()).type
    launcher = {"cpu": ["hydra/launcher=pool"], "cuda": ["hydra/launcher=fleet"]}.get(device, [])
    watched = progress.Sweep(study, listing.planned(runs), is_own=True)

    def is_elsewhere() -> bool:
        at_each_look()
        return bool(_elsewhere(study, runs))

    while True:
        before = progress.fraction_done(watched.look())
        status, shared, killed = _multirun([*arguments, *launcher], study, watched, at_each_look)
        if shared and (names := _elsewhere(study, runs)):
            print(f"another process is at work on {', '.join(names)}; waiting", flush=True)
            live.watch(watched, is_elsewhere, Console())
        if not status or not unfinished(runs):
            return 0
        is_further = progress.fraction_done(watched.look()) > before
        if not shared and not (killed and is_further):
            return status


def _elsewhere(study: Path, runs: Plan) -> list[str]:
    """The runs that another process is at work on."""
    dirs = {name: study / "runs" / name for name in runs}
    return [name for name, run_dir in dirs.items() if locks.is_held(run_dir / locks.LOCK)]


def reporting(study: Path) -> filelock.BaseFileLock:
    """The lock under which sweeps of one study publish and report, one after the other."""
    return filelock.FileLock(study / locks.LOCK)


def _log(study: Path, held: contextlib.ExitStack) -> Path:
    """`sweep.log`, or `sweep.2.log` and so on while another sweep of the study writes that one."""
    for number in itertools.count(1):
        log = study / (f"sweep.{number}.log" if number > 1 else "sweep.log")
        with contextlib.suppress(filelock.Timeout):
            held.enter_context(locks.hold(log.with_name(f"{log.name}.lock")))
            return log
    raise AssertionError


def _multirun(
    arguments: Sequence[str],
    study: Path,
    watched: progress.Sweep,
    at_each_look: Callable[[], object],
) -> tuple[int, bool, bool]:
    """The exit status, whether others were at some of the runs, whether the pool was killed."""
    study.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        log = _log(study, held)
        print(f"$ degradation {shlex.join(arguments)} > {log}", flush=True)
        output = held.enter_context(log.open("w"))
        command = [sys.executable, "-m", "degradation", *arguments]
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )

        def is_running() -> bool:
            at_each_look()
            return process.poll() is None

        try:
            live.watch(watched, is_running, Console())
        finally:
            _end(process)
        lines = log.read_text(errors="replace").splitlines()
    for line in [line for line in lines if line.startswith("W&B: ")][-1:]:
        print(line)  # where the curves are
    errors = [line for line in lines if line.startswith("error: ")]
    told = [line for line in errors if not line.endswith(locks.AT_WORK)]
    status, shared = process.returncode, len(told) < len(errors)
    if status and not (shared and status == 2 and not told):
        head = f"the sweep ended with status {status}; {log} says:"
        print(head, *(told or lines[-5:]), sep="\n", file=sys.stderr)
    return status, shared and 0 < status < 128, f"error: {POOL_ENDED}" in told


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the sweep: a pool whose parent alone is gone would train on."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        # A second Ctrl-C does not wait.
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired, KeyboardInterrupt):
            if sign is signal.SIGKILL or process.poll() is None:
                os.killpg(process.pid, sign)
            process.wait(timeout=30)  # each run's step, and its checkpoint
