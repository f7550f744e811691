"""Where the time of a captured step goes: which kernels, and how long the GPU waits for them."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from degradation.benchmark.contestants import begun
from degradation.benchmark.results import Part, spread
from degradation.benchmark.throughput import paper
from degradation.benchmark.traffic import wait
from degradation.config import Config
from degradation.data.batches import Data, prepare, train_batches
from degradation.data.images import load_images
from degradation.step import build_step

DEPTHS = (20, 110)
STEPS, ROUNDS = 20, 5
"""Timed without the profiler, which makes them slower."""
REPLAYS = 10
"""Steps that are recorded."""
SHOWN = 12
NAME_LENGTH = 140
KINDS = {
    "batch norm": r"batch.?norm|\bbn_",
    "layout": r"nchwtonhwc|nhwctonchw|transpose",
    "optimiser": r"multi_tensor|sgd",
    "convolution and product": r"conv|cudnn|cutlass|xmma|gemm|wgrad|dgrad|fprop|addmm|aten::mm",
    "copy and cast": r"copy|memcpy|memset|catarray",
    "reduction and loss": r"reduce|softmax|nll|argmax|mean|sum",
    "pointwise": r"elementwise|relu|threshold|clamp|add|pool|pad|fill|zero",
}
"""The first whose expression is in a kernel's name, in lower case, has it."""
OTHER = "other"

Kernel = tuple[str, float]
"""Name and microseconds."""


def measure(root: str | None, device: torch.device) -> Iterator[Part]:
    """What is known after each net and precision. Raises DataError."""
    # a profiler that was shut down and is started again beside graphs crashes, says torch.profiler
    os.environ.setdefault("TEARDOWN_CUPTI", "0")
    data = prepare(load_images("cifar10", root), paper(20, "bf16").data, device)
    recorded(lambda: None, device)  # so that it is at work before the first graph is made
    part = Part()
    for depth in DEPTHS:
        for precision in ("bf16", "tf32"):
            found = of_step(paper(depth, precision), data)
            prefix = f"resnet{depth}/{precision}/profile"
            part |= {f"{prefix}/{name}": number for name, number in found.items()}
            yield part


def of_step(cfg: Config, data: Data) -> Part:
    """Of the same batch again and again."""
    state, device = begun(cfg, data)[0], data.mean.device
    step = build_step(state.model, state.optimizer, cfg.trainer.precision, cfg.hardware)
    (batch,) = train_batches(data, cfg.seed, 0, 1, cfg.trainer.batch_size)
    take = partial(step, *batch, cfg.schedule.warmup_lr)
    take()
    step_ms = [timed_ms(take, device) for _ in range(ROUNDS + 1)][1:]
    return numbers(step_ms, recorded(take, device), REPLAYS)


def timed_ms(take: Callable[[], object], device: torch.device) -> float:
    """Of one of STEPS."""
    wait(device)
    start = time.perf_counter()
    for _ in range(STEPS):
        take()
    wait(device)
    return 1000 * (time.perf_counter() - start) / STEPS


def recorded(take: Callable[[], object], device: torch.device) -> list[Kernel]:
    """What the device did in REPLAYS steps; a CPU's operations without those that they call."""
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity], acc_events=True) as profiler:  # else it warns
        for _ in range(REPLAYS):
            take()
        wait(device)
    return [
        (event.name, _elapsed_us(event) - sum(map(_elapsed_us, event.cpu_children)))
        for event in profiler.events() or []
        if event.device_type.name == activity.name and not event.is_user_annotation
    ]


def _elapsed_us(event: Any) -> float:
    return event.time_range.elapsed_us()  # type: ignore[no-any-return]


def numbers(step_ms: Sequence[float], kernels: Sequence[Kernel], steps: int) -> Part:
    """A step's time, without the profiler; of that what kernels take and what is left, which is
    waiting; how many there are, and each kind's share of their time. Raises RuntimeError where
    there are none.
    """
    if not kernels:
        raise RuntimeError("the profiler saw no kernels")
    by_name, by_kind = defaultdict[str, list[float]](list), defaultdict[str, float](float)
    for name, taken_us in kernels:
        by_name[name].append(taken_us)
        by_kind[kind_of(name)] += taken_us
    busy_us = sum(by_kind.values())
    busy_ms = busy_us / 1000 / steps
    part: Part = {
        "whole": spread(step_ms, "ms"),
        "busy": spread([busy_ms], "ms"),
        "waiting": spread([100 * (1 - busy_ms / ms) for ms in step_ms], "%"),
        "kernels": spread([len(kernels) / steps], "a step"),
    }
    for kind in sorted(by_kind, key=by_kind.__getitem__, reverse=True):
        part[f"share of {kind}"] = spread([100 * by_kind[kind] / busy_us], "%")
    longest = sorted(by_name.items(), key=lambda found: sum(found[1]), reverse=True)
    part["most time"] = {
        "lines": [
            f"{100 * sum(us) / busy_us:5.1f} % {len(us) / steps:6.1f} x {name[:NAME_LENGTH]}"
            for name, us in longest[:SHOWN]
        ]
    }
    return part


def kind_of(name: str) -> str:
    kinds = (kind for kind, expression in KINDS.items() if re.search(expression, name.lower()))
    return next(kinds, OTHER)
