"""The training loop: a generator that yields at each record, driven to its end for one run, in
turns for many.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from degradation.config import Config
from degradation.data.batches import Data, train_batches
from degradation.optim import learning_rate
from degradation.records import Row
from degradation.step import build_step, copies_input, evaluate

Probe = Callable[[nn.Module], Row]
"""A measurement: entries for the record (`probe/...`)."""


@dataclass
class State:
    """What a run is made of; the loop advances `iteration`."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    iteration: int = 0
    """Steps taken."""
    wall_s: float = 0.0
    start: Row = field(default_factory=dict)
    """Measured before the first step, for the record's first row."""


def train(state: State, data: Data, cfg: Config, probes: Sequence[Probe] = ()) -> Iterator[Row]:
    """Takes the steps that are left and yields a row every `record_every`; a row leaves out
    what is not finite, and is then the last. Yields an empty row where a GPU has been given its
    steps and is best left to them: the turn of the runs beside this one.
    """
    trainer = cfg.trainer
    step = build_step(state.model, state.optimizer, trainer.precision, cfg.hardware.captures)
    state.model.train()
    if (probes or state.start) and not state.iteration:
        lr = learning_rate(0, cfg.optim.lr, cfg.model.depth, cfg.schedule)
        start = {"iteration": 0, "epoch": 0.0, "lr": lr, "wall_s": 0.0, "images_per_s": 0.0}
        measured = state.start | _probed(state, probes)
        yield start | {key: value for key, value in measured.items() if math.isfinite(value)}
    since = time.perf_counter()
    while (first := state.iteration) < cfg.schedule.iterations:
        last = min(
            first + trainer.record_every - first % trainer.record_every, cfg.schedule.iterations
        )
        for batch in train_batches(data, cfg.seed, first, last, trainer.batch_size):
            lr = learning_rate(state.iteration, cfg.optim.lr, cfg.model.depth, cfg.schedule)
            step(*batch, lr)
            state.iteration += 1
        if data.mean.is_cuda:
            yield {}
        row = _entries("train/", step.read(), state.model)  # synchronises
        images_per_s = (last - first) * trainer.batch_size / (time.perf_counter() - since)
        row |= evaluations(state, data, cfg) if math.isfinite(row["train/loss"]) else {}
        if _due(last, trainer.probe_every, cfg):
            row |= _probed(state, probes)
        state.wall_s += time.perf_counter() - since
        epoch = last * trainer.batch_size / len(data.train)
        head = {"iteration": last, "epoch": epoch, "lr": lr}
        head |= {"wall_s": round(state.wall_s, 3), "images_per_s": round(images_per_s, 1)}
        finite = {key: value for key, value in row.items() if math.isfinite(value)}
        yield head | finite
        if len(finite) < len(row):
            return
        since = time.perf_counter()  # not counting what others did with the row


def _probed(state: State, probes: Sequence[Probe]) -> Row:
    return {key: value for probe in probes for key, value in probe(state.model).items()}


def evaluations(state: State, data: Data, cfg: Config) -> Row:
    """Clean errors, those that are due at this iteration: for the curves, and over the whole sets
    at the end.
    """
    trainer, row = cfg.trainer, Row()
    whole = _due(state.iteration, trainer.full_eval_every, cfg)
    curve = _due(state.iteration, trainer.eval_every, cfg)
    subset = data.train.first(trainer.curve_train_images)
    test_key = "test/subset_" if trainer.curve_test_images else "test/"
    test_part = data.test.first(trainer.curve_test_images or len(data.test))
    wanted = [("eval/train_subset_", subset, curve), (test_key, test_part, curve)]
    wanted += [("eval/train_", data.train, whole), ("test/", data.test, whole)]
    for prefix, split, due in wanted:
        if due and f"{prefix}loss" not in row:
            found = evaluate(state.model, split, data, trainer.eval_batch_size, trainer.precision)
            row |= _entries(prefix, found, state.model)
    return row


def _entries(prefix: str, measured: tuple[float, float], model: nn.Module) -> Row:
    """Loss and error by name; the error only where it has a meaning."""
    loss, error_pct = measured
    errors = {} if copies_input(model) else {f"{prefix}error_pct": error_pct}
    return {f"{prefix}loss": loss} | errors


def _due(iteration: int, every: int, cfg: Config) -> bool:
    return iteration == cfg.schedule.iterations or (every > 0 and iteration % every == 0)
