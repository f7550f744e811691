"""Who takes turns on a GPU: a run, or several, that yields after each row of its record."""

import contextlib
import dataclasses
import io
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from degradation import environment
from degradation.begin import fresh_state
from degradation.benchmark import usual
from degradation.benchmark.throughput import BATCH_SIZE, usual_run
from degradation.config import Config
from degradation.data.batches import Data
from degradation.loop import State, train
from degradation.optim import build_optimizer

WORKERS = 8
START_S = 200
"""Seconds in which a contestant must have begun; torch.compile may take minutes."""

Contestants = dict[str, Callable[[], Iterator[None]]]
Change = Callable[[nn.Module, Data], tuple[nn.Module, Data]]
"""Makes another net, and other images, of the project's."""


def begin(contestants: Contestants) -> tuple[dict[str, Iterator[None]], dict[str, float]]:
    """Each to the end of its first turn, and the seconds that took. One that fails, or is not ready
    in time, is left out: it costs its own number only.
    """
    runs, seconds = dict[str, Iterator[None]](), dict[str, float]()
    for name, make in contestants.items():
        start, run = time.perf_counter(), make()
        try:
            # which torch.compile fills with tables
            with limited(START_S), contextlib.redirect_stderr(io.StringIO()):
                next(run)
        except Exception as error:
            told = str(error).strip().partition("\n")[0]
            print(f"{name} is left out: {type(error).__name__}: {told}", flush=True)
            traceback.print_exc()
            continue
        runs[name], seconds[name] = run, time.perf_counter() - start
    return runs, seconds


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """A block that TimeoutError ends; again and again, where somebody catches it on its way."""

    def out_of_time(number: int, frame: Any) -> None:
        raise TimeoutError(f"not ready after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def usual_turns(depth: int, device: torch.device, folder: Path, every: int) -> Iterator[None]:
    run = usual_run(depth, usual.batches(folder, BATCH_SIZE, WORKERS), every, str(device))
    while True:  # PyTorch's defaults, which the other contestants change
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = False
        next(run)
        yield


def own_turns(cfg: Config, data: Data, change: Change | None = None) -> Iterator[None]:
    """The project's loop."""
    state, data = begun(cfg, data, change)
    run = train(state, data, cfg)
    while True:
        environment.set_arithmetic(cfg.trainer)
        while not next(run):
            pass
        yield


def begun(cfg: Config, data: Data, change: Change | None = None) -> tuple[State, Data]:
    """A run before its first step, and the images it sees."""
    environment.set_arithmetic(cfg.trainer)
    state = fresh_state(cfg, data.mean.device)
    if change is None:
        return state, data
    model, data = change(state.model, data)
    return State(model, build_optimizer(model, cfg.optim)), data


def compiled(model: nn.Module, data: Data, mode: str) -> tuple[nn.Module, Data]:
    """By torch.compile. In mode `max-autotune` it makes graphs of its own."""
    return torch.compile(model, mode=mode), data  # type: ignore[return-value]


def changed(cfg: Config, capture: bool, deterministic: bool) -> Config:
    hardware = dataclasses.replace(cfg.hardware, capture=capture)
    trainer = dataclasses.replace(cfg.trainer, deterministic=deterministic)
    return dataclasses.replace(cfg, hardware=hardware, trainer=trainer)


def by_kernels(cfg: Config, kernels: str) -> Config:
    hardware = dataclasses.replace(cfg.hardware, batch_norm_kernels=kernels)
    return dataclasses.replace(cfg, hardware=hardware)


def fleet_turns(configs: list[Config], data: Data) -> Iterator[None]:
    """Yields whenever every run has had its next row, the runs on streams of their own; a GPU has
    the next steps of all of them then.
    """
    device = data.mean.device
    on_cuda = device.type == "cuda"
    runs = [train(*begun(cfg, data), cfg) for cfg in configs]
    streams = [torch.cuda.Stream() if on_cuda else None for _ in configs]  # type: ignore[no-untyped-call]
    if on_cuda:
        torch.cuda.synchronize(device)

    def advance() -> None:
        """In turns until each has had a row, and on a GPU the steps after it."""
        left = list(zip(runs, streams, strict=True))
        while left:
            for each in list(left):
                run, stream = each
                with torch.cuda.stream(stream) if stream else contextlib.nullcontext():
                    if next(run):
                        left.remove(each)
                        if on_cuda:
                            next(run)

    while True:
        environment.set_arithmetic(configs[0].trainer)
        advance()
        yield
