"""Training steps: the usual script, this project's loop in fp32, and in bf16, in turn."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
import torch

from degradation import cli, config
from degradation.begin import fresh_state
from degradation.benchmark import usual
from degradation.benchmark.results import Part, ratios, spread
from degradation.config import Config
from degradation.data.archives import DataError, cache_folder
from degradation.data.batches import Data, prepare
from degradation.data.cifar10 import BATCHES, verify_batches
from degradation.data.images import load_images
from degradation.loop import train
from degradation.nets import build_model

BATCH_SIZE = 128
EVERY = 4
"""Steps a turn; as many as the usual script's workers can have fetched before."""
TURNS = {20: 4, 56: 2}
"""Depth -> turns that are timed in a round, after one that is not."""
ROUNDS = 7
REFILL_S = 1.0
"""Rest after the usual script's round, whose workers would take from the next one's time."""
TARGETS = {"fp32": 1.35, "bf16": 1.9}
"""Images a second, as a multiple of the usual script's, on a CPU with two cores."""


def measure(root: str | None) -> Part:
    """Images a second of residual nets at full size, by depth and contestant, and their ratios.

    root: the folder that holds cifar-10-batches-py/; None for the cache folder. Raises DataError.
    """
    folder = batches_folder(root)
    data = prepare(load_images("cifar10", root), paper(20, "fp32").data, torch.device("cpu"))
    part: Part = {}
    for depth, turns in TURNS.items():
        runs = {"usual": usual_run(depth, usual.batches(folder, BATCH_SIZE))}
        runs |= {precision: own_run(paper(depth, precision), data) for precision in precisions()}
        *_, images_per_s = in_turn(runs, turns, ROUNDS)
        part |= numbers(depth, images_per_s)
    return part


def batches_folder(root: str | None) -> Path:
    """Where the usual script finds CIFAR-10, verified. Raises DataError."""
    folder = Path(root) if root else cache_folder()
    if not (folder / BATCHES).is_dir():
        raise DataError(f"{folder}: no {BATCHES}/, which the usual script reads; name its folder")
    verify_batches(folder / BATCHES)  # it unpickles them without a look
    return folder


def numbers(depth: int, images_per_s: Mapping[str, list[float]]) -> Part:
    part = {f"resnet{depth}/{name}": spread(x, "images/s") for name, x in images_per_s.items()}
    for name, target in TARGETS.items():
        if name in images_per_s:
            ratio = ratios(images_per_s[name], images_per_s["usual"])
            part[f"resnet{depth}/{name}_over_usual"] = spread(ratio, "x", at_least=target)
    return part


def precisions() -> list[str]:
    return ["fp32", "bf16"] if has_bf16() else ["fp32"]


def has_bf16() -> bool:
    """Whether the processor multiplies bf16 by itself; where it does not, bf16 is slow."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "bf16" in cpuinfo.read_text()


def paper(depth: int, precision: str, every: int = EVERY) -> Config:
    """The paper's protocol, a line of the record every few steps and no evaluation."""
    overrides = ["preset=paper", f"model.depth={depth}", f"trainer.precision={precision}"]
    overrides += [f"trainer.batch_size={BATCH_SIZE}", f"trainer.record_every={every}"]
    overrides += ["trainer.eval_every=0", "trainer.full_eval_every=0", "trainer.checkpoint_every=0"]
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        return config.from_dict(hydra.compose("config", overrides))


def own_run(cfg: Config, data: Data) -> Iterator[Any]:
    """The project's loop, as `train.run` sets it up; yields after EVERY steps."""
    return (row for row in train(fresh_state(cfg, data.mean.device), data, cfg) if row)


def usual_run(
    depth: int, data: Iterator[Any], every: int = EVERY, device: str = "cpu"
) -> Iterator[Any]:
    """The same net in PyTorch's default memory format."""
    cfg = paper(depth, "fp32")
    torch.manual_seed(cfg.seed)
    return usual.train(build_model(cfg.model).to(device), data, every)


def in_turn(
    runs: Mapping[str, Iterator[Any]],
    turns: int,
    rounds: int,
    images: int = EVERY * BATCH_SIZE,
    untimed_rounds: int = 1,
) -> Iterator[dict[str, list[float]]]:
    """Images a second of each run in the rounds so far, after each round that is timed; a run's
    turns begin with one that is not. images: of one turn.
    """
    images_per_s: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(untimed_rounds + rounds):
        for name, run in runs.items():
            next(run)
            start = time.perf_counter()
            for _ in range(turns):
                next(run)
            seconds = time.perf_counter() - start
            if number >= untimed_rounds:
                images_per_s[name].append(turns * images / seconds)
            if name == "usual":
                time.sleep(REFILL_S)
        if number >= untimed_rounds:
            yield images_per_s
