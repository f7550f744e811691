"""Training steps on a GPU, in turn: the usual script, strong eager code, torch.compile, and this
project's captured step, alone and in a fleet. Same net, batch and optimiser; residual nets.
"""

import contextlib
import dataclasses
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from degradation import cli, environment
from degradation.benchmark import usual
from degradation.benchmark.results import Part, ratios, spread
from degradation.benchmark.throughput import (
    BATCH_SIZE,
    batches_folder,
    in_turn,
    paper,
    usual_run,
)
from degradation.config import Config
from degradation.data.batches import Data, prepare
from degradation.data.images import load_images
from degradation.loop import train
from degradation.nets import build_model
from degradation.train import fresh_state

EVERY, ROUNDS = 100, 5
"""Steps a turn, as many as `paper` has in a line of its record, and timed turns: 500 steps each."""
WORKERS = 8
FLEET = 8
SOLO_MS = {20: 1.0, 56: 2.7, 110: 5.3}
FLEET_OVER_COMPILED = 1.5
SEED_MIN, MEMORY_GIB = 8.5, 24.0
"""One seed of all eight arms."""
PASSES = 7
"""Over the convs' outputs, at least, in a step: written and read forward (conv, batch norm,
addition) and backward.
"""

Contestants = dict[str, Callable[[], Iterator[None]]]


def measure(depth: int, root: str | None) -> Part:
    """Milliseconds a step of each contestant, of one net in the fleet, and their ratios.

    root: the folder that holds cifar-10-batches-py/. Raises DataError.
    """
    device = torch.device("cuda")
    folder = batches_folder(root)
    data = prepare(load_images("cifar10", root), paper(depth, "bf16").data, device)
    runs, part = {}, Part()
    for name, begin in contestants(depth, data, folder, EVERY).items():
        start, run = time.perf_counter(), begin()
        try:
            next(run)
        except Exception as error:  # a compiler that does not work costs its own number only
            print(f"{name} is left out: {type(error).__name__}: {error}", flush=True)
            continue
        runs[name] = run
        part[f"{name}/first_{EVERY}_steps"] = spread([time.perf_counter() - start], "s")
    images_per_s = in_turn(runs, 1, ROUNDS, EVERY * BATCH_SIZE)
    images_per_s["fleet"] = [FLEET * rate for rate in images_per_s["fleet"]]
    return part | numbers(depth, images_per_s, copy_bytes_per_s(device))


def contestants(depth: int, data: Data, folder: Path, every: int) -> Contestants:
    """Each yields after `every` steps of each of its nets.

    The usual script is in fp32 as PyTorch has it by default, the others in bf16 but for
    `captured_tf32`; `captured` and `fleet` are as the project trains, with fixed algorithms.
    """
    bf16, tf32 = (paper(depth, precision, every) for precision in ("bf16", "tf32"))
    eager = changed(bf16, capture=False, deterministic=False)
    any_algorithm = changed(bf16, capture=True, deterministic=False)
    # `compiled` before every captured step: recording its graphs frees cuBLAS's workspaces, whose
    # addresses a captured one keeps
    return {
        "usual": partial(usual_turns, depth, data.mean.device, folder, every),
        "eager": partial(own_turns, eager, data),
        "compiled": partial(own_turns, eager, data, compiled="max-autotune"),
        "captured": partial(own_turns, bf16, data),
        "captured_any_algorithm": partial(own_turns, any_algorithm, data),
        "captured_compiled": partial(own_turns, bf16, data, compiled="default"),
        "captured_tf32": partial(own_turns, tf32, data),
        "fleet": partial(fleet_turns, [bf16] * FLEET, data),
    }


def usual_turns(depth: int, device: torch.device, folder: Path, every: int) -> Iterator[None]:
    run = usual_run(depth, usual.batches(folder, BATCH_SIZE, WORKERS), every, str(device))
    while True:  # PyTorch's defaults, which the other contestants change
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = False
        next(run)
        yield


def own_turns(cfg: Config, data: Data, compiled: str = "") -> Iterator[None]:
    """The project's loop. compiled: torch.compile's mode, empty for none."""
    state = fresh_state(cfg, data.mean.device)
    if compiled:
        state.model = torch.compile(state.model, mode=compiled)  # type: ignore[assignment]
    run = train(state, data, cfg)
    while True:
        environment.set_arithmetic(cfg.trainer)
        while not next(run):
            pass
        yield


def changed(cfg: Config, capture: bool, deterministic: bool) -> Config:
    hardware = dataclasses.replace(cfg.hardware, capture=capture)
    trainer = dataclasses.replace(cfg.trainer, deterministic=deterministic)
    return dataclasses.replace(cfg, hardware=hardware, trainer=trainer)


def fleet_turns(configs: list[Config], data: Data) -> Iterator[None]:
    """Yields whenever every run has had its next row, the runs on streams of their own; a GPU has
    the next steps of all of them then.
    """
    device = data.mean.device
    on_cuda = device.type == "cuda"
    runs = [train(fresh_state(cfg, device), data, cfg) for cfg in configs]
    streams = [torch.cuda.Stream() if on_cuda else None for _ in configs]  # type: ignore[no-untyped-call]
    if on_cuda:
        torch.cuda.synchronize(device)
    environment.set_arithmetic(configs[0].trainer)

    def advance() -> None:
        for run, stream in zip(runs, streams, strict=True):
            with torch.cuda.stream(stream) if stream else contextlib.nullcontext():
                while next(run) and on_cuda:  # past the row, to the empty one
                    pass

    if on_cuda:
        advance()
    while True:
        environment.set_arithmetic(configs[0].trainer)
        advance()
        yield


def numbers(depth: int, images_per_s: Mapping[str, list[float]], copy_bytes_per_s: float) -> Part:
    step_ms = {name: [1000 * BATCH_SIZE / r for r in rates] for name, rates in images_per_s.items()}
    part: Part = {}
    for name, values in step_ms.items():
        target = SOLO_MS.get(depth) if name == "captured" else None
        part[f"{name}/step"] = spread(values, "ms", at_most=target)
    floor_ms = 1000 * step_bytes(depth) / copy_bytes_per_s
    part["copy_bandwidth"] = spread([copy_bytes_per_s / 1e12], "TB/s")
    part["floor/step"] = spread([floor_ms], "ms")
    for ours in ("captured", "fleet"):
        part[f"{ours}_over_floor"] = spread([ms / floor_ms for ms in step_ms[ours]], "x")
        for theirs in sorted({"usual", "eager", "compiled"} & step_ms.keys()):
            target = FLEET_OVER_COMPILED if (ours, theirs) == ("fleet", "compiled") else None
            ratio = ratios(images_per_s[ours], images_per_s[theirs])
            part[f"{ours}_over_{theirs}"] = spread(ratio, "x", at_least=target)
    return part


def step_bytes(depth: int) -> float:
    """Passes over the outputs of the convs, in bf16: what a step moves at least, but for what stays
    in the cache (of ResNet-20 most of it).
    """
    cfg = paper(depth, "bf16")
    sizes: list[int] = []
    model = build_model(cfg.model).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _in, output: sizes.append(output.numel()))
    with torch.no_grad():
        model(torch.zeros(1, 3, cfg.data.pixels, cfg.data.pixels))
    return float(PASSES * sum(sizes) * BATCH_SIZE * 2)


def copy_bytes_per_s(device: torch.device, size: int = 2**30, times: int = 20) -> float:
    """Device to device, reads and writes counted."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(times):
        target.copy_(source)
    torch.cuda.synchronize(device)
    return 2 * size * times / (time.perf_counter() - start)


def measure_seed(root: str | None) -> Part:
    """One seed of the depth sweep at preset paper in a fleet: the steps of its eight arms timed for
    ROUNDS * EVERY iterations and extrapolated to all; evaluations come on top.
    """
    device = torch.device("cuda")
    configs = seed_configs()
    data = prepare(load_images("cifar10", root), configs[0].data, device)
    gc.collect()
    torch.cuda.empty_cache()  # of what was measured before
    torch.cuda.reset_peak_memory_stats(device)
    run, start = fleet_turns(configs, data), time.perf_counter()
    next(run)
    first_s = time.perf_counter() - start
    minutes = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        next(run)
        turns = configs[0].schedule.iterations / EVERY
        minutes.append((time.perf_counter() - start) * turns / 60)
    memory = torch.cuda.max_memory_reserved(device) / 2**30
    return {
        f"eight_arms/first_{EVERY}_steps": spread([first_s], "s"),
        "eight_arms/extrapolated": spread(minutes, "min", at_most=SEED_MIN),
        "eight_arms/memory": spread([memory], "GiB", at_most=MEMORY_GIB),
    }


def seed_configs() -> list[Config]:
    """The eight arms, without evaluations."""
    silent = [f"trainer.{key}_every=0" for key in ("eval", "full_eval", "checkpoint")]
    overrides = ["seed=0", f"trainer.record_every={EVERY}", *silent]
    return list(cli.sweep("depth_sweep", "paper", overrides).values())
