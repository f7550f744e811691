"""A config in, one finished run out: trained, continued, or found to have ended."""

import contextlib
import re
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import filelock

from degradation import (
    checkpoint,
    config,
    distributed,
    environment,
    identity,
    lines,
    locks,
    records,
    stopping,
)
from degradation.begin import Loader, build_probes, fresh_state, load_data
from degradation.checkpoint import CheckpointError
from degradation.config import Config, ConfigError
from degradation.data.batches import Data
from degradation.growth import grow
from degradation.loop import State, train
from degradation.nets import count_parameters
from degradation.summary import has_diverged, progress_line, summarise
from degradation.tracking import account, copies, mirror

MEMORY = re.compile(
    r"(MPS backend |CUDA )?out of memory.*?llocate [\d.]+ \w+|CUDA error: out of memory|"
    r"can't allocate memory.*",
    re.DOTALL,
)
SMALLER = (
    "what takes less: a smaller trainer.eval_batch_size; in a fleet fewer runs side by side "
    "(hydra.launcher.side_by_side); of ResNets hardware.checkpoint_activations=true"
)

Turns = Generator[None, None, dict[str, Any]]
"""A run that stops where others may take their turn, and returns its summary."""


def run(cfg: Config, baseline: Config, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Trains one run, or continues it, or finds it finished; returns its summary.

    baseline: the study's config, from which the run is named. Raises ConfigError, DataError,
    RecordError, CheckpointError or OSError, each with a message for the user.
    """
    turns = in_turns(cfg, baseline, overrides)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            summary: dict[str, Any] = end.value
            return summary


def in_turns(
    cfg: Config, baseline: Config, overrides: Sequence[str] = (), load: Loader = load_data
) -> Turns:
    """The same, stopping where other runs of this process may take their turn."""
    account.resolve_mode(cfg.tracking.mode)  # better known now than after the data
    cfg, baseline = map(environment.on_this_machine, (cfg, baseline))
    distributed.check_config(cfg, environment.select_device(cfg.hardware))
    run_dir = config.study_dir(cfg) / "runs" / config.run_name(cfg, baseline)
    with contextlib.ExitStack() as held:
        if summary := distributed.from_first(lambda: _open(run_dir, cfg, held)):
            return summary
        try:
            return (yield from _locked(cfg, run_dir, list(overrides), load))
        except RuntimeError as error:  # of which torch.OutOfMemoryError is one
            if match := MEMORY.search(str(error)):
                told = f"{run_dir.name}: {' '.join(match[0].split())}; {SMALLER}"
                raise OSError(told) from error  # no ConfigError: of several processes one alone
            raise


def _open(run_dir: Path, cfg: Config, held: contextlib.ExitStack) -> dict[str, Any] | None:
    """Takes the run's lock; the summary of a run that has ended already. Raises ConfigError."""
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        held.enter_context(locks.hold(run_dir / locks.LOCK))
    except filelock.Timeout:
        raise ConfigError(f"{run_dir}: {locks.AT_WORK}") from None
    refuse_other_config(run_dir, cfg)
    if summary := records.read_summary(run_dir):
        lines.say(
            f"{run_dir.name}: {summary['status']} already, {run_dir}{_unprobed(cfg, run_dir)}"
        )
        copies.show_sweep(run_dir, cfg)
    return summary


def _unprobed(cfg: Config, run_dir: Path) -> str:
    """What to do about probes that the run was not made with."""
    made_with = (records.read_config(run_dir) or {}).get("trainer", {}).get("probes") or []
    asked = [name for name in cfg.trainer.probes if name not in made_with]
    how = f"python scripts/probe.py {run_dir} --probe {','.join(asked)}"
    return f"; its record is without trainer.probes={asked}, afterwards: {how}" if asked else ""


def refuse_other_config(run_dir: Path, cfg: Config) -> None:
    """Raises ConfigError, naming the keys, if the directory holds a run of another config."""
    theirs = records.read_config(run_dir)
    if theirs and (keys := identity.differences(config.to_dict(cfg), theirs)):
        raise ConfigError(
            f"{run_dir}: holds a run of another config (now / there): {'; '.join(keys)}"
        )


def _locked(cfg: Config, run_dir: Path, overrides: list[str], load: Loader) -> Turns:
    device = environment.set_up(cfg.hardware, cfg.trainer)
    state = fresh_state(cfg, device)
    is_continued = _continue(state, run_dir, cfg)
    data = load(cfg.data, device)
    if cfg.model.grown_from and not is_continued:
        yield from grow(state, cfg, data)
        environment.set_arithmetic(cfg.trainer)
    if distributed.rank():
        return (yield from _beside_the_first(state, data, cfg))
    described = environment.describe(device, overrides)
    recorded = config.to_dict(cfg)
    recorded["data"]["root"], recorded["output_root"] = None, Config.output_root  # places here
    resume_at = state.recorded if is_continued else None
    writer = records.Writer(run_dir, recorded, described, resume_at)
    try:
        with mirror.of_run(
            cfg,
            run_name=run_dir.name,
            arm=records.arm_of(run_dir.name),
            config_hash=config.config_hash(cfg),
            study_dir=config.study_dir(cfg),
            rows_so_far=writer.rows,
            git_commit=described["git_commit"],
        ) as copy:
            yield from _recorded(state, data, cfg, writer, copy)
            summary = summarise(cfg, run_dir.name, writer.rows, count_parameters(state.model))
            writer.finish(summary)
            (run_dir / checkpoint.PREVIOUS).unlink(missing_ok=True)
            copy.summarize(summary)
            told = f"{summary['status']} at iteration {summary['iteration']}"
            lines.say(f"{run_dir.name}: {told}, {run_dir}")
    finally:
        writer.close()
    return summary


def _continue(state: State, run_dir: Path, cfg: Config) -> bool:
    """Whether the run had been begun; the state is then as its newest checkpoint has it."""
    parts, made_by = (state.model, state.optimizer), config.config_hash(cfg)
    progress = distributed.from_first(
        lambda: checkpoint.load_newest(run_dir, *parts, made_by, remove_damaged=True)
    )
    if progress is None:
        return False
    state.continue_from(progress)
    if state.iteration > cfg.schedule.iterations:
        path = run_dir / checkpoint.CHECKPOINT
        raise CheckpointError(f"{path}: iteration {state.iteration}, which this run never has")
    distributed.adopt(*parts)
    return True


def _beside_the_first(state: State, data: Data, cfg: Config) -> Turns:
    """The other processes of a run take their part of each step; the first keeps the record."""
    with stopping.training():
        for _ in train(state, data, cfg, build_probes(cfg, data)):
            yield
    return {}


def _recorded(
    state: State, data: Data, cfg: Config, writer: records.Writer, copy: mirror.Mirror
) -> Generator[None]:
    """Trains to the end; each row goes to the record and to W&B, and a run that is told to stop
    leaves a checkpoint of where it is.
    """
    name, path = writer.run_dir.name, writer.run_dir / checkpoint.CHECKPOINT

    def save() -> None:
        if writer.rows and has_diverged(writer.rows[-1]):
            return  # or a run that is continued would train on
        progress, made_by = state.progress(), config.config_hash(cfg)
        checkpoint.save(path, state.model, state.optimizer, progress, made_by)

    with stopping.training():
        try:
            for row in train(state, data, cfg, build_probes(cfg, data)):
                if row:
                    writer.write(row)
                    copy.log(row)
                    lines.say(progress_line(name, row, cfg.schedule.iterations))
                    if _checkpoint_due(state.iteration, cfg):
                        save()
                    if data.mean.is_cuda:
                        continue  # the others' turn comes once the GPU has the next steps
                yield
                environment.set_arithmetic(cfg.trainer)  # a run beside this one may have another
        except stopping.Stopped as stopped:
            if not stopped.at_once:  # else a step may be half done
                save()
            raise
        except GeneratorExit:  # the stop of a run beside it
            if stopping.noted():
                save()
            raise


def _checkpoint_due(iteration: int, cfg: Config) -> bool:
    every = cfg.trainer.checkpoint_every
    return iteration == cfg.schedule.iterations or (every > 0 and iteration % every == 0)
