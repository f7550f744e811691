"""The training loop: a generator that yields at each record, driven to its end for one run, in
turns for many.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from degradation.config import Config
from degradation.data.batches import Data, train_batch
from degradation.optim import learning_rate
from degradation.records import Row
from degradation.step import EagerStep, evaluate

Probe = Callable[[nn.Module, int], Row]
"""A measurement: model and iteration in, entries for the record (`probe/...`) out, or none."""


@dataclass
class State:
    """What a run is made of; the loop advances `iteration`."""

    model: nn.Module
    optimizer: torch.optim.SGD
    iteration: int = 0
    """Steps taken."""
    wall_s: float = 0.0


def train(state: State, data: Data, cfg: Config, probes: Sequence[Probe] = ()) -> Iterator[Row]:
    """Takes the steps that are left and yields a row every `record_every`; a row leaves out
    what is not finite, and is then the last.
    """
    step = EagerStep(state.model, state.optimizer, cfg.trainer.precision)
    state.model.train()
    since, steps = time.perf_counter(), 0
    while state.iteration < cfg.schedule.iterations:
        lr = learning_rate(state.iteration, cfg.optim.lr, cfg.model.depth, cfg.schedule)
        step(*train_batch(data, cfg.seed, state.iteration, cfg.trainer.batch_size), lr)
        state.iteration += 1
        steps += 1
        if not _due(state.iteration, cfg.trainer.record_every, cfg):
            continue
        row = dict(zip(("train/loss", "train/error_pct"), step.read(), strict=True))  # synchronises
        images_per_s = steps * cfg.trainer.batch_size / (time.perf_counter() - since)
        row |= evaluations(state, data, cfg) if math.isfinite(row["train/loss"]) else {}
        for probe in probes:
            row |= probe(state.model, state.iteration)
        state.wall_s += time.perf_counter() - since
        epoch = state.iteration * cfg.trainer.batch_size / len(data.train)
        head = {"iteration": state.iteration, "epoch": epoch, "lr": lr}
        head |= {"wall_s": round(state.wall_s, 3), "images_per_s": round(images_per_s, 1)}
        finite = {key: value for key, value in row.items() if math.isfinite(value)}
        yield head | finite
        if len(finite) < len(row):
            return
        since, steps = time.perf_counter(), 0  # not counting what others did with the row


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
            loss, error_pct = evaluate(
                state.model, split, data, trainer.eval_batch_size, trainer.precision
            )
            row |= {f"{prefix}loss": loss, f"{prefix}error_pct": error_pct}
    return row


def _due(iteration: int, every: int, cfg: Config) -> bool:
    return iteration == cfg.schedule.iterations or (every > 0 and iteration % every == 0)
