"""The training loop: a generator that yields at each record, driven to its end for one run, in
turns for many.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from degradation import distributed
from degradation.config import Config
from degradation.data.batches import Data, train_batches
from degradation.optim import learning_rate
from degradation.records import Row
from degradation.step import Totals, build_step, copies_input, evaluate

TURN_STEPS = 10
"""On a GPU, of one run: enough for the GPU while the others write their rows, and so few that a
queue of its that is full does not make the others wait. Estimated, not measured.
"""

Probe = Callable[[nn.Module], Row]
"""A measurement: entries for the record (`probe/...`)."""


@dataclass
class State:
    """What a run is made of; the loop advances it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    iteration: int = 0
    """Steps taken."""
    recorded: int = -1
    """Iteration of the last row that was yielded; -1 before the first."""
    wall_s: float = 0.0
    start: Row = field(default_factory=dict)
    """Measured before the first step, for the record's first row."""
    totals: Totals = field(init=False)
    """Of the steps since the last row."""

    def __post_init__(self) -> None:
        self.totals = Totals(next(self.model.parameters()).device)

    def progress(self) -> dict[str, Any]:
        """How far it has come, for a checkpoint; weights and momentum go beside it."""
        counts = {key: getattr(self, key) for key in ("iteration", "recorded", "wall_s")}
        return counts | {"totals": self.totals.state_dict()}

    def continue_from(self, progress: Mapping[str, Any]) -> None:
        """Goes on where another process has stopped."""
        self.iteration, self.recorded = int(progress["iteration"]), int(progress["recorded"])
        self.wall_s = float(progress["wall_s"])
        self.totals.load_state_dict(progress["totals"])


def train(state: State, data: Data, cfg: Config, probes: Sequence[Probe] = ()) -> Iterator[Row]:
    """Takes the steps that are left and yields a row every `record_every`. A row leaves out what is
    not finite; after a step one without training loss is the last. Yields an empty row where a GPU
    has been given TURN_STEPS, or the row's last ones: the turn of the runs beside this one. Raises
    Stopped between two steps, where the state is one to continue from.
    """
    trainer = cfg.trainer
    step = build_step(state.model, state.optimizer, trainer.precision, cfg.hardware, state.totals)
    state.model.train()
    if (probes or state.start) and state.recorded < 0:
        state.recorded = 0
        head = _head(state, data, cfg) | {"images_per_s": 0.0}
        measured = state.start | _probed(state, probes)
        yield head | {key: value for key, value in measured.items() if math.isfinite(value)}
    since = time.perf_counter()
    while state.recorded < cfg.schedule.iterations:
        last = _next_row(state.recorded, cfg)
        first, wall_s = state.iteration, state.wall_s
        for batch in train_batches(data, cfg.seed, first, last, trainer.batch_size):
            step(*batch, _rate(state.iteration, cfg))
            state.iteration += 1
            since = _lap(state, since)
            distributed.check()
            taken = state.iteration - first
            if data.mean.is_cuda and (taken % TURN_STEPS == 0 or state.iteration == last):
                yield {}
        row = _entries("train/", step.read(), state.model)  # synchronises
        since = _lap(state, since)
        speed = (last - first) * trainer.batch_size / (state.wall_s - wall_s)
        row |= evaluations(state, data, cfg) if math.isfinite(row["train/loss"]) else {}
        if _due(last, trainer.probe_every, cfg):
            row |= _probed(state, probes)
        _lap(state, since)
        state.totals.clear()
        state.recorded = last
        head = _head(state, data, cfg)
        if last > first:  # else its steps were taken before a stop
            head["images_per_s"] = round(speed, 1)
        yield head | {key: value for key, value in row.items() if math.isfinite(value)}
        if not math.isfinite(row["train/loss"]):  # else only an evaluation may have overflowed
            return
        since = time.perf_counter()  # not counting what others did with the row


def _next_row(recorded: int, cfg: Config) -> int:
    """Iteration of the row after one at iteration `recorded`."""
    every, begun = cfg.trainer.record_every, max(recorded, 0)
    return min(begun + every - begun % every, cfg.schedule.iterations)


def _lap(state: State, since: float) -> float:
    """Adds the time since then to the run's, and returns the new start."""
    now = time.perf_counter()
    state.wall_s += now - since
    return now


def _head(state: State, data: Data, cfg: Config) -> Row:
    """What each row begins with; the learning rate is that of the last step."""
    last = max(state.iteration - 1, 0)
    return {
        "iteration": state.iteration,
        "epoch": state.iteration * cfg.trainer.batch_size / len(data.train),
        "lr": _rate(last, cfg),
        "wall_s": round(state.wall_s, 3),
    }


def _rate(iteration: int, cfg: Config) -> float:
    return learning_rate(iteration, cfg.optim.lr, cfg.model.depth, cfg.schedule)


def _probed(state: State, probes: Sequence[Probe]) -> Row:
    return distributed.from_first(
        lambda: {key: value for probe in probes for key, value in probe(state.model).items()}
    )


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
