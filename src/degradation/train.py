"""The command: a config in, one finished run out."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, cast

import filelock
import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from degradation import (
    checkpoint,
    cli,
    config,
    distributed,
    environment,
    identity,
    lines,
    locks,
    measured,
    named_code,
    probes,
    records,
    stopping,
)
from degradation.checkpoint import CheckpointError
from degradation.config import Config, ConfigError, DataConfig, image_shape
from degradation.data.batches import Data, clean, prepare
from degradation.data.images import load_images
from degradation.growth import grow
from degradation.loop import Probe, State, train
from degradation.nets import build_model, count_multiply_adds, count_parameters
from degradation.optim import build_optimizer
from degradation.records import Row
from degradation.studies import listing
from degradation.tracking import account, copies, mirror

POOL_ENDED = "a process of the pool was killed, perhaps for want of memory, and the pool with it"
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
Loader = Callable[[DataConfig, torch.device], Data]


def load_data(cfg: DataConfig, device: torch.device) -> Data:
    """Raises DataError."""
    return prepare(load_images(cfg.name, cfg.root), cfg, device)


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
    device = environment.set_up(cfg.seed, cfg.hardware, cfg.trainer)
    state, config_hash = fresh_state(cfg, device), config.config_hash(cfg)
    parts = (state.model, state.optimizer)
    progress = distributed.from_first(
        lambda: checkpoint.load_newest(run_dir, *parts, config_hash, remove_damaged=True)
    )
    if progress:
        state.continue_from(progress)
        if state.iteration > cfg.schedule.iterations:
            path = run_dir / checkpoint.CHECKPOINT
            raise CheckpointError(f"{path}: iteration {state.iteration}, which this run never has")
        distributed.adopt(*parts)
    data = load(cfg.data, device)
    if cfg.model.grown_from and not progress:
        yield from grow(state, cfg, data)
        environment.set_arithmetic(cfg.trainer)
    if distributed.rank():
        return (yield from _beside_the_first(state, data, cfg))
    described = environment.describe(device, overrides)
    recorded = config.to_dict(cfg)
    recorded["data"]["root"], recorded["output_root"] = None, Config.output_root  # places here
    resume_at = state.recorded if progress else None
    writer = records.Writer(run_dir, recorded, described, resume_at)
    try:
        with mirror.of_run(
            cfg,
            run_name=run_dir.name,
            arm=records.arm_of(run_dir.name),
            config_hash=config_hash,
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


def build_probes(cfg: Config, data: Data) -> list[Probe]:
    """The probes of the config, each on the first images of its set, clean."""

    def build(name: str) -> Probe:
        split = data.test if name in probes.HELD_OUT else data.train
        part = split.first(probes.IMAGES[name])
        images = clean(data, part.images)
        measure = probes.MEASURES[name]
        return lambda model: measure(cast(Any, model), images, part.labels)

    return [build(name) for name in cfg.trainer.probes]


def fresh_state(cfg: Config, device: torch.device) -> State:
    """The run before its first step; PyTorch's global generator is seeded already."""
    model = build_model(cfg.model, image_shape(cfg.data), cfg.hardware.checkpoint_activations)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return State(model, build_optimizer(model, cfg.optim))


def has_diverged(row: Row) -> bool:
    """Whether it is the last row of a run whose loss was not finite."""
    return row["iteration"] > 0 and "train/loss" not in row


def _checkpoint_due(iteration: int, cfg: Config) -> bool:
    every = cfg.trainer.checkpoint_every
    return iteration == cfg.schedule.iterations or (every > 0 and iteration % every == 0)


def summarise(cfg: Config, name: str, rows: Sequence[Row], parameters: int) -> dict[str, Any]:
    """summary.json: the last iterate's numbers, and the best on the test set under a name that says
    so.
    """
    last = rows[-1]
    is_whole = last.keys() >= set(measured.LOSSES)
    finished = is_whole and last["iteration"] == cfg.schedule.iterations
    tested = [row for row in rows if "test/error_pct" in row]
    best = min(tested, key=lambda row: row["test/error_pct"], default=None)
    below = (row["iteration"] for row in rows if row.get("train/error_pct", 100) < 80)
    return {
        "run": name,
        "arm": records.arm_of(name),
        "experiment": cfg.experiment,
        "preset": cfg.preset,
        "data": cfg.data.name,
        "kind": cfg.model.kind,
        "depth": cfg.model.depth,
        "seed": cfg.seed,
        "precision": cfg.trainer.precision,
        "status": records.FINISHED if finished else records.DIVERGED,
        "iteration": last["iteration"],
        "last": {key: value for key, value in last.items() if "/" in key} if finished else {},
        "best_on_test_set": best and {key: best[key] for key in ("iteration", "test/error_pct")},
        "iteration_below_80_pct": next(below, None),
        "parameters": parameters,
        "multiply_adds": count_multiply_adds(cfg.model, image_shape(cfg.data)),
        "wall_s": last["wall_s"],
        "config_hash": config.config_hash(cfg),
    }


def progress_line(name: str, row: Row, iterations: int) -> str:
    shown = {
        "train/error_pct": "train (running)",
        "eval/train_error_pct": "train (clean)",
        "test/error_pct": "test",
    }
    errors = "  ".join(f"{label} {row[key]:5.2f} %" for key, label in shown.items() if key in row)
    errors = errors or "  ".join(f"{key} {row[key]:.4g}" for key in measured.LOSSES if key in row)
    return f"{name:<18} {int(row['iteration']):>6}/{iterations}  lr {row['lr']:<7.4g} {errors}"


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
            print(f"error: {POOL_ENDED}", file=sys.stderr)
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
