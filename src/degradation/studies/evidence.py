"""Committed evidence: which runs `results/` lacks, and a sweep of these that publishes each as it
ends, so that every stretch of a machine's time adds to it.
"""

import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from degradation import cli, config, records, train
from degradation.analysis.overview import RESULTS, write_list
from degradation.analysis.report import write_report
from degradation.config import ConfigError
from degradation.data.images import load_images
from degradation.studies import lookup, reproduce

FILES = (records.CONFIG, records.METRICS, records.SUMMARY, records.ENVIRONMENT)


class Published(NamedTuple):
    """Names of runs, and lines."""

    new: list[str]
    kept: list[str]
    """Published before, from another record, and left so."""
    failed: dict[str, str]
    """What is wrong with those that could not be read or copied, by their names."""

    def tell(self, source: Path) -> None:
        if self.kept:
            print(f"left as published, though {source} has other records: {', '.join(self.kept)}")
        for line in self.failed.values():
            print(f"error: {line}", file=sys.stderr)


def publish(source: Path, target: Path, arms: Collection[str]) -> Published:
    """Copies the records of ended runs from one study folder to another, without checkpoints.

    arms: the study's; runs of others are left out. One that fails keeps no other from it.
    """
    found = Published([], [], {})
    if not source.is_dir():
        return found
    with reproduce.reporting(source):
        for run_dir in records.run_dirs(source):
            copy = target / "runs" / run_dir.name
            try:
                if records.arm_of(run_dir.name) not in arms or not records.read_summary(run_dir):
                    continue
                if not copy.exists():
                    _copy_whole(run_dir, copy, target / ".part")
                    found.new.append(run_dir.name)
                elif any((run_dir / n).read_bytes() != (copy / n).read_bytes() for n in FILES):
                    found.kept.append(run_dir.name)
            except (records.RecordError, OSError) as error:
                found.failed[run_dir.name] = cli.one_line(error)
    return found


def _copy_whole(run_dir: Path, copy: Path, part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(run_dir / name, part / name)
    copy.parent.mkdir(exist_ok=True)
    part.rename(copy)


def plan_of(
    experiment: str, preset: str, seeds: str, overrides: Sequence[str] = ()
) -> reproduce.Plan:
    """The study's runs by name, with overrides some of them. Raises ConfigError, ClaimsError or
    Hydra's errors.
    """
    if not preset:
        raise ConfigError("preset: none given; accepted: quick, paper (PRESET=paper)")
    axes = lookup.seed_axis(seeds)
    whole = reproduce.made_plans(experiment, preset, axes)[preset]
    if not overrides:
        return whole
    some = reproduce.made_plans(experiment, preset, [*axes, *overrides])[preset]
    for name, run in some.items():
        if name not in whole or (run.experiment, run.preset) != (experiment, preset):
            raise ConfigError(
                f"{' '.join(overrides)}: {name} is no run of {experiment} at {preset}; accepted: "
                "what leaves runs out (model.depth=18,56) or says how they are made (hardware)"
            )
    return some


def missing(experiment: str, preset: str, seeds: str) -> Iterator[str]:
    """What is not published yet, a line a run, and the command that goes on from there."""
    plan = plan_of(experiment, preset, seeds)
    study, target = config.study_dir(next(iter(plan.values()))), RESULTS / experiment / preset
    published = {path.name for path in records.run_dirs(target)}
    lacking = {name: run for name, run in plan.items() if name not in published}
    yield f"{experiment}, preset {preset}: {len(plan)} runs, {len(lacking)} not in {target}"
    for name, run in lacking.items():
        yield f"  {name:<20} {_state(study / 'runs' / name, run.schedule.iterations)}"
    if lacking:
        chosen = f" SEEDS={','.join(seeds.replace(',', ' ').split())}" if seeds.strip() else ""
        yield f"go on with: make evidence EXPERIMENT={experiment} PRESET={preset}{chosen}"


def _state(run_dir: Path, iterations: int) -> str:
    try:
        ended = records.read_summary(run_dir)
        unpublished = "ended, not published (make publish)"
        return unpublished if ended else records.how_far(run_dir, iterations)
    except records.RecordError:
        return "damaged"


def complete(
    experiment: str, preset: str, seeds: str, data_root: str, overrides: Sequence[str] = ()
) -> int:
    """Makes the runs that are missing, publishes each as it ends, redraws, and returns the exit
    status. Raises what `cli.one_line` can put into a line.

    overrides: fewer arms (`model.depth=18,56`), or how they are made (`hardware...`).
    """
    plan = plan_of(experiment, preset, seeds, overrides)
    study, target = config.study_dir(next(iter(plan.values()))), RESULTS / experiment / preset
    study.mkdir(parents=True, exist_ok=True)
    with reproduce.reporting(study):
        for name, run in plan.items():
            published, own = target / "runs" / name, study / "runs" / name
            if published.is_dir() and not own.exists():
                train.refuse_other_config(published, run)
                _copy_whole(published, own, study / ".part")
    arms = set(map(records.arm_of, plan))
    left = reproduce.unfinished(plan)
    print(f"{experiment}, preset {preset}: {len(plan)} runs, {len(left)} to do, in {study}")
    if left:
        for name in {run.data.name for run in left.values()}:
            load_images(name, data_root or None)  # better known now than once a run
    status = 0
    try:
        if left:
            arguments = reproduce.arguments(experiment, preset, seeds, data_root)
            arguments += overrides
            status = reproduce.sweep(arguments, study, plan, lambda: publish(study, target, arms))
    finally:
        found = publish(study, target, arms)
        found.tell(study)
    with reproduce.reporting(study):
        print(*write_report(target)[:1], write_list(RESULTS), sep="\n")
    return 1 if status or found.failed.keys() & plan.keys() else 0
