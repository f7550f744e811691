"""Runs on the disk: how far, whether a process is at work on them, and whether they can go on."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from degradation import begin, checkpoint, cli, config, locks, records, train
from degradation.analysis.sources import read_records
from degradation.config import Config
from degradation.doctor import need
from degradation.doctor.page import ELSEWHERE, NOTE, OK, PROBLEM, Line, flat, listed
from degradation.doctor.plan import Asked, output_root, planned
from degradation.records import RecordError

MOST, LONGEST = 8, 400
"""Lines of one kind on a page, and characters of one."""


@dataclass
class Seen:
    """A run directory."""

    run_dir: Path
    iterations: int = 0
    """In all; 0 where nothing says it."""
    at: int = 0
    """The last on record."""
    has_ended: bool = False
    is_at_work: bool = False
    is_unread: bool = False
    """Whether its checkpoint was left alone: the net is too large to be built for that."""
    trouble: str = ""
    """Why it cannot be read or continued, in one line."""
    warnings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        tail = ", too large a net to look at its checkpoint" if self.is_unread else ""
        return f"{self.run_dir.name} at {self.at:,} of {self.iterations:,}{tail}"


def look(asked: Asked) -> Iterator[Line]:
    """The chosen study's runs, then those of others: these stop nothing."""
    plan, _ = planned(asked)
    study = config.study_dir(next(iter(plan.values()))) if plan else None
    studies: dict[Path, list[Seen]] = {study: []} if study else {}
    for run_dir in sorted(output_root(asked).glob("*/*/runs/*/")):
        here = run_dir.parents[1]
        seen = examine(run_dir, plan.get(run_dir.name) if here == study else None)
        studies.setdefault(here, []).append(seen)
    if study:
        found = studies.pop(study)
        ours = [seen for seen in found if seen.run_dir.name in plan]
        yield from chosen(study, ours, plan)
        rest = [seen for seen in found if seen.run_dir.name not in plan]
        yield from others(f"{study}, runs not asked for", rest)
        if not any(seen.trouble for seen in ours):
            yield from report(study)
    for folder, found in studies.items():
        yield from others(str(folder), found)


def report(study: Path) -> Iterator[Line]:
    """At its end `make reproduce` reads every run in the folder, asked for or not."""
    try:
        if any(records.run_dirs(study)):
            read_records(study)
    except Exception as error:
        advice = f"put that run aside; {ELSEWHERE}"
        yield Line(PROBLEM, "report", f"would not be made: {flat(error)}", advice)


def chosen(study: Path, ours: list[Seen], plan: Mapping[str, Config]) -> Iterator[Line]:
    ended = sum(seen.has_ended for seen in ours)
    begun = [seen for seen in ours if not seen.has_ended and not seen.trouble and seen.at]
    text = f"{study}: {ended} of {len(plan)} ended"
    if begun:
        text += f", {len(begun)} unfinished, which go on: {listed(seen.text for seen in begun)}"
    yield Line(OK, "runs", text)
    if at_work := [seen for seen in ours if seen.is_at_work]:
        text = f"{listed(seen.text for seen in at_work)}: a process is at work on it now"
        yield Line(NOTE, "runs", text, "a second sweep takes the others; call it again at the end")
    yield from troubles(PROBLEM, ours)


def others(name: str, found: list[Seen]) -> Iterator[Line]:
    begun = [seen for seen in found if not seen.has_ended and not seen.trouble and seen.at]
    idle = [seen for seen in begun if not seen.is_at_work]
    at_work = [seen for seen in begun if seen.is_at_work]
    if idle:
        text = f"{name}: {len(idle)} unfinished: {listed(seen.text for seen in idle)}"
        yield Line(NOTE, "runs", text, "the command they were started with goes on with them")
    if at_work:
        yield Line(NOTE, "runs", f"{name}: at work now: {listed(seen.text for seen in at_work)}")
    yield from troubles(NOTE, found)


def troubles(state: str, found: list[Seen]) -> Iterator[Line]:
    for warning in (warning for seen in found for warning in seen.warnings):
        yield Line(NOTE, "runs", warning, "nothing: the run goes on from there")
    troubled = [seen for seen in found if seen.trouble]
    for seen in troubled[:MOST]:
        advice = "remove it or put it aside: the run starts again"
        yield Line(state, "runs", seen.trouble, advice)
    if len(troubled) > MOST:
        yield Line(state, "runs", f"{len(troubled) - MOST} more like these")


def examine(run_dir: Path, planned_as: Config | None) -> Seen:
    """What a directory holds, read as the run itself would read it; of one at work, whose files
    change meanwhile, only how far it is.
    """
    seen = Seen(run_dir, is_at_work=locks.is_held(run_dir / locks.LOCK))
    try:
        if planned_as:
            train.refuse_other_config(run_dir, planned_as)
        if records.read_config(run_dir) is None:
            refuse_remains(run_dir)
            return seen  # locked once and never begun
        run = records.read_run(run_dir)
        seen.has_ended = run.status != "unfinished"
        seen.at = int(run.rows[-1]["iteration"]) if run.rows else 0
        seen.iterations = int(run.config["schedule"]["iterations"])
        if not seen.has_ended and not seen.is_at_work:
            cfg = config.from_dict(run.config)
            seen.is_unread = need.is_too_large(cfg.model)
            if not seen.is_unread:
                check_resumable(run_dir, run, seen.warnings.append)
    except Exception as error:
        seen.trouble = _told(run_dir, error)
    return seen


def refuse_remains(run_dir: Path) -> None:
    """A run begins with its config; whatever else is there without one is no beginning of it."""
    parts = (records.METRICS, records.SUMMARY, records.ENVIRONMENT)
    saved = (checkpoint.NEW, checkpoint.CHECKPOINT, checkpoint.PREVIOUS)
    if found := [name for name in (*parts, *saved) if (run_dir / name).exists()]:
        raise RecordError(f"{run_dir}: {', '.join(found)}, but no {records.CONFIG}")


def check_resumable(run_dir: Path, run: records.Run, warn: Callable[[str], object]) -> None:
    """Raises what continuing the run would raise: its checkpoint is loaded, and its last line
    looked for in the record.
    """
    cfg = config.from_dict(run.config)
    state, made_by = begin.fresh_state(cfg, torch.device("cpu")), config.config_hash(cfg)
    saved = checkpoint.load_newest(run_dir, state.model, state.optimizer, made_by, warn)
    at = saved["recorded"] if saved else -1
    if at >= 0 and at not in {row["iteration"] for row in run.rows}:
        raise RecordError(
            f"{run_dir / records.METRICS}: no line for iteration {at}, where the checkpoint is"
        )


def _told(run_dir: Path, error: Exception) -> str:
    """A message that names the run, and a type for what was raised by accident."""
    text = textwrap.shorten(cli.one_line(error), LONGEST)
    if str(run_dir) in text:
        return text
    return (
        f"{run_dir}: {'' if isinstance(error, ValueError) else type(error).__name__ + ': '}{text}"
    )
