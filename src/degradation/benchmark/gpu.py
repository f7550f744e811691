"""Training steps on a GPU, in turn: the usual script, strong eager code, torch.compile, and this
project's captured step, alone and in a fleet. Same net, batch and optimiser; residual nets.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median

import torch

from degradation.benchmark.contestants import (
    Contestants,
    begin,
    by_kernels,
    changed,
    compiled,
    fleet_turns,
    own_turns,
    usual_turns,
)
from degradation.benchmark.results import Part, ratios, spread
from degradation.benchmark.throughput import BATCH_SIZE, batches_folder, in_turn, paper
from degradation.benchmark.traffic import copy_bytes_per_s, step_bytes, wait
from degradation.data.batches import Data, prepare
from degradation.data.images import load_images

EVERY, ROUNDS = 100, 5
"""Steps a turn, as many as `paper` has in a line of its record, and timed turns: 500 steps each."""
FLEET = 8
SOLO_MS = {20: 1.0, 56: 2.7, 110: 5.3}
FLEET_OVER_COMPILED, FLEET_OVER_COMPILED_STRETCH = 1.5, 3.0
FLEET_OVER_USUAL = 10.0
FLEETS = {
    "fleet": ("bf16", "library"),
    "fleet_fused": ("bf16", "fused"),
    "fleet_tf32": ("tf32", "library"),
    "fleet_tf32_native": ("tf32", "native"),
    "fleet_tf32_fused": ("tf32", "fused"),
}
"""Precision and `hardware.batch_norm_kernels`: those that are the fastest alone need not be the
fastest side by side.
"""
OURS = {"captured": "bf16", "captured_tf32": "tf32"} | {
    name: precision for name, (precision, _) in FLEETS.items()
}
"""What is held against the floor, and the precision of its activations."""


def measure(depth: int, root: str | None, device: torch.device) -> Iterator[Part]:
    """Milliseconds a step of each contestant, of one net in the fleet, their ratios and what
    bandwidth they come to; after each round what is known so far, for a command that is cut off.

    root: the folder that holds cifar-10-batches-py/. Raises DataError.
    """
    folder = batches_folder(root)
    data = prepare(load_images("cifar10", root), paper(depth, "bf16").data, device)
    bytes_per_s = copy_bytes_per_s(device)
    runs, first_s = begin(contestants(depth, data, folder, EVERY))
    # no untimed round: each has had a turn, and has one more before each that is timed
    for rates in in_turn(runs, 1, ROUNDS, EVERY * BATCH_SIZE, untimed_rounds=0):
        a_net = {name: [nets(name) * r for r in found] for name, found in rates.items()}
        part = starts(first_s, a_net) | numbers(depth, a_net, bytes_per_s)
        yield {f"resnet{depth}/{name}": number for name, number in part.items()}
    wait(device)  # the fleets' next steps are under way, on memory that is given back now


def contestants(depth: int, data: Data, folder: Path, every: int) -> Contestants:
    """Each yields after `every` steps of each of its nets.

    The usual script is in fp32 as PyTorch has it by default, the others in bf16 but for
    `captured_tf32` and some of FLEETS; all but `captured_any_algorithm` of what is captured is as
    the project trains, with fixed algorithms.
    """
    bf16, tf32 = (paper(depth, precision, every) for precision in ("bf16", "tf32"))
    eager = changed(bf16, capture=False, deterministic=False)
    any_algorithm = changed(bf16, capture=True, deterministic=False)
    cfgs = {"bf16": bf16, "tf32": tf32}
    fleets = {
        name: partial(fleet_turns, [by_kernels(cfgs[precision], kernels)] * FLEET, data)
        for name, (precision, kernels) in FLEETS.items()
    }
    # `compiled` before every captured step: recording its graphs frees cuBLAS's workspaces, whose
    # addresses a captured one keeps
    return {
        "usual": partial(usual_turns, depth, data.mean.device, folder, every),
        "eager": partial(own_turns, eager, data),
        "compiled": partial(own_turns, eager, data, partial(compiled, mode="max-autotune")),
        "captured": partial(own_turns, bf16, data),
        "captured_any_algorithm": partial(own_turns, any_algorithm, data),
        "captured_tf32": partial(own_turns, tf32, data),
        **fleets,
    }


def nets(name: str) -> int:
    return FLEET if name.startswith("fleet") else 1


def starts(first_s: Mapping[str, float], images_per_s: Mapping[str, list[float]]) -> Part:
    """What compiling, capturing or starting workers takes: the first turn less its steps."""
    part = Part()
    for name, rates in images_per_s.items():
        steps_s = nets(name) * EVERY * BATCH_SIZE / median(rates)
        part[f"{name}/start"] = spread([first_s[name] - steps_s], "s")
    return part


def numbers(depth: int, images_per_s: Mapping[str, list[float]], bytes_per_s: float) -> Part:
    step_ms = {name: [1000 * BATCH_SIZE / r for r in rates] for name, rates in images_per_s.items()}
    part: Part = {}
    for name, values in step_ms.items():
        target = SOLO_MS.get(depth) if name in ("captured", "captured_tf32") else None
        part[f"{name}/step"] = spread(values, "ms", at_most=target)
    part["copy_bandwidth"] = spread([bytes_per_s / 1e12], "TB/s")
    for name, precision in OURS.items():
        if name in step_ms:
            part |= against_floor(name, step_ms[name], step_bytes(depth, precision), bytes_per_s)
    return part | comparisons(images_per_s)


def against_floor(name: str, step_ms: list[float], moved: float, bytes_per_s: float) -> Part:
    """Achieved bandwidth, if each byte is moved once, and the time over that of a mere copy."""
    floor_ms = 1000 * moved / bytes_per_s
    return {
        f"{name}/floor": spread([floor_ms], "ms"),
        f"{name}/achieved": spread([moved / ms / 1e9 for ms in step_ms], "TB/s"),
        f"{name}_over_floor": spread([ms / floor_ms for ms in step_ms], "x"),
    }


def comparisons(images_per_s: Mapping[str, list[float]]) -> Part:
    """Ratios of rates, round by round; that to the usual script says how many steps it is from,
    because whole runs of it take hours.
    """
    part: Part = {}
    for ours in ("captured", "fleet"):
        for theirs in ("usual", "eager", "compiled"):
            if not {ours, theirs} <= images_per_s.keys():
                continue
            ratio, name = ratios(images_per_s[ours], images_per_s[theirs]), f"{ours}_over_{theirs}"
            least = stretch = None
            if theirs == "usual":
                name += f", extrapolated from {EVERY * len(ratio)} steps"
                least = FLEET_OVER_USUAL if ours == "fleet" else None
            elif name == "fleet_over_compiled":
                least, stretch = FLEET_OVER_COMPILED, FLEET_OVER_COMPILED_STRETCH
            part[name] = spread(ratio, "x", at_least=least, stretch=stretch)
    for ours, theirs in (
        ("captured_any_algorithm", "captured"),
        ("fleet_fused", "fleet"),
        ("fleet_tf32_native", "fleet_tf32"),
        ("fleet_tf32_fused", "fleet_tf32"),
    ):
        if {ours, theirs} <= images_per_s.keys():
            gain = ratios(images_per_s[ours], images_per_s[theirs])
            part[f"{ours}_over_{theirs}"] = spread(gain, "x")
    return part
