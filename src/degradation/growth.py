"""Runs that begin as the same function as a trained shallower net (`model.grown_from`)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from degradation import environment
from degradation.begin import fresh_state
from degradation.config import Config
from degradation.data.batches import Data, clean
from degradation.loop import State, train
from degradation.nets.resnet import ResNet
from degradation.probes import construction
from degradation.records import Row


def grow(state: State, cfg: Config, data: Data) -> Iterator[None]:
    """Trains the shallow net, as a run of its own would be, and makes the run's net from it; what
    was found goes into the record's first row. Stops where other runs may take their turn.
    """
    shallow_cfg = shallow(cfg)
    beginning = fresh_state(shallow_cfg, data.mean.device)
    last: Row = {}
    for row in train(beginning, data, shallow_cfg):
        last = row or last
        yield
        environment.set_arithmetic(cfg.trainer)  # a run beside this one may have another
    part = data.train.first(construction.IMAGES)
    deep = cast(ResNet, state.model)
    state.start = construction.grow(
        cast(ResNet, beginning.model), deep, clean(data, part.images), part.labels
    )
    for key in ("eval/train_error_pct", "test/error_pct"):
        if key in last:
            state.start[f"probe/construction/shallow_{key.replace('/', '_')}"] = last[key]
    state.wall_s = beginning.wall_s


def shallow(cfg: Config) -> Config:
    """The run that it begins with, evaluated at its end alone."""
    return replace(
        cfg,
        model=replace(cfg.model, depth=cfg.model.grown_from, grown_from=0),
        trainer=replace(cfg.trainer, probes=[], eval_every=0, full_eval_every=0),
    )
