"""One seed of the depth sweep at preset `paper` on one GPU: its eight arms side by side, driven as
`hydra/launcher=fleet` drives them, with their records, evaluations and checkpoints; and a second
seed beside the first.

A run is here SHORT iterations long, at the cadences of the whole one, to which it is extrapolated;
the start of Python comes on top.
"""

import contextlib
import gc
import io
import math
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from operator import itemgetter
from statistics import median
from typing import Any

import torch

from degradation import cli, fleet
from degradation.begin import load_data
from degradation.benchmark.results import Part, spread
from degradation.benchmark.traffic import copy_bytes_per_s, step_bytes
from degradation.config import Config, image_shape
from degradation.loop import TURN_STEPS
from degradation.nets import count_multiply_adds
from degradation.train import in_turns

SHORT = 3000
"""A first, a usual and a last stretch of `eval_every` iterations; the last one ends with a whole
evaluation, as at `full_eval_every`.
"""
SEED_MIN, SEED_STRETCH_MIN = 8.5, 4.0
MEMORY_GB = 24.0
SECOND_OVER_FIRST = 1.0
COURSES = {
    "one_seed/tf32": ("0", "tf32", "library"),
    "one_seed/tf32/fused": ("0", "tf32", "fused"),
    "one_seed/tf32/native": ("0", "tf32", "native"),
    "two_seeds/tf32": ("0,1", "tf32", "library"),
    "one_seed/bf16": ("0", "bf16", "library"),
    "one_seed/bf16/fused": ("0", "bf16", "fused"),
    "one_seed/tf32/fused_early": ("0", "tf32", "fused_early"),
}
"""Seeds, precision and `hardware.batch_norm_kernels`; a timeout cuts off the last."""


@dataclass
class Course:
    """Of runs side by side, in seconds from the beginning, and the device's memory in use at most,
    graphs and CUDA's own included.
    """

    rows_s: list[float]
    """When the last run had its turn after its row i (from 0, the start): each run then has i rows
    on record, and the GPU a turn's steps of the next one.
    """
    used_bytes: int


def measure(root: str | None, device: torch.device) -> Iterator[Part]:
    """What is known after each of COURSES; one with a run that fails is left out. Raises
    DataError.
    """
    part, bytes_per_s, minutes = Part(), copy_bytes_per_s(device), dict[str, float]()
    for name, (seeds, precision, kernels) in COURSES.items():
        how = (f"trainer.precision={precision}", f"hardware.batch_norm_kernels={kernels}")
        configs = arms(f"seed={seeds}", *how)
        try:
            course = side_by_side(configs, root, device)
        except RuntimeError as error:
            print(f"{name} is left out: {error}", flush=True)
            continue
        limit_gb = MEMORY_GB if name.startswith("one_seed") else None
        found = numbers(course, configs, bytes_per_s) | memory(course, device, limit_gb)
        minutes[name] = extrapolated_s(course, configs[0])[0] / 60
        part |= {f"{name}/{key}": number for key, number in found.items()}
        if name == "two_seeds/tf32" and "one_seed/tf32" in minutes:
            both, first = minutes[name], minutes["one_seed/tf32"]
            ratio = spread([(both - first) / first], "x", at_most=SECOND_OVER_FIRST)
            part["second_seed_over_first, extrapolated"] = ratio
        yield part


def arms(*overrides: str) -> list[Config]:
    """The runs of the depth sweep at the paper's length."""
    return list(cli.sweep("depth_sweep", "paper", ["tracking=off", *overrides]).values())


def side_by_side(configs: Sequence[Config], root: str | None, device: torch.device) -> Course:
    """Their first SHORT iterations. Raises RuntimeError if one of them fails or diverges."""
    free_memory(device)
    for cfg in configs:  # which a run does once, at its end; here it would count as often as looks
        count_multiply_adds(cfg.model, image_shape(cfg.data))
    load, ends = fleet.sharing(load_data), [list[float]() for _ in configs]
    turns = turns_a_row(configs[0], device)
    used = [0]
    begin = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.redirect_stdout(io.StringIO()),  # a line for each row of each run
    ):

        def job(cfg: Config, noted: list[float]) -> Generator[None]:
            for turn, _ in enumerate(in_turns(cfg, cfg, (), load)):
                if turn % turns == 0:
                    noted.append(time.perf_counter() - begin)
                    used.append(used_bytes(device))
                yield
            noted.append(time.perf_counter() - begin)

        short = [shortened(cfg, root, folder) for cfg in configs]
        statuses = fleet.drive([partial(job, *each) for each in zip(short, ends, strict=True)])
    if any(statuses) or len(set(map(len, ends))) > 1:
        raise RuntimeError("not all arms came to their end; what failed is told above")
    return Course(ends[-1], max(used))


def turns_a_row(cfg: Config, device: torch.device) -> int:
    return math.ceil(cfg.trainer.record_every / TURN_STEPS) if device.type == "cuda" else 1


def shortened(cfg: Config, root: str | None, folder: str) -> Config:
    schedule = replace(cfg.schedule, iterations=SHORT)
    return replace(cfg, schedule=schedule, data=replace(cfg.data, root=root), output_root=folder)


def free_memory(device: torch.device) -> None:
    """Of what was measured before, no graph of which is left."""
    gc.collect()
    if device.type == "cuda":
        torch._C._cuda_clearCublasWorkspaces()  # one a stream, which keep their memory
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def used_bytes(device: torch.device) -> int:
    """By all there is on the device, which nobody else is to use."""
    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def numbers(course: Course, configs: Sequence[Config], bytes_per_s: float) -> Part:
    """Seconds to the first steps, milliseconds for a step of every run, minutes of the whole, and
    of that what evaluations, records and checkpoints take; over what its memory traffic takes.
    """
    cfg = configs[0]
    step_s, whole_s = steps_s(course, cfg), extrapolated_s(course, cfg)
    iterations, one_seed = cfg.schedule.iterations, len({run.seed for run in configs}) == 1
    beside_s = median(whole_s) - course.rows_s[0] - iterations * median(step_s)
    moved = sum(step_bytes(run.model.depth, run.trainer.precision) for run in configs)
    floor_s = iterations * moved / bytes_per_s
    target, stretch = (SEED_MIN, SEED_STRETCH_MIN) if one_seed else (None, None)
    minutes = [seconds / 60 for seconds in whole_s]
    return {
        "start": spread(course.rows_s[:1], "s"),
        "step": spread([1000 * seconds for seconds in step_s], "ms"),
        whole(): spread(minutes, "min", at_most=target, stretch=stretch),
        "evaluations and records, extrapolated": spread([beside_s / 60], "min"),
        "floor": spread([floor_s], "s"),
        "achieved": spread([moved / seconds / 1e12 for seconds in step_s], "TB/s"),
        "extrapolated whole_over_floor": spread([s / floor_s for s in whole_s], "x"),
    }


def steps_s(course: Course, cfg: Config) -> list[float]:
    """A step of every run, from each row without an evaluation."""
    every, stretch = cfg.trainer.record_every, cfg.trainer.eval_every // cfg.trainer.record_every
    rows = enumerate(pairwise(course.rows_s), 1)
    return [(end - begin) / every for row, (begin, end) in rows if row > 1 and row % stretch]


def extrapolated_s(course: Course, cfg: Config) -> list[float]:
    """The whole runs: the first stretch with the start, so many last ones as there are whole
    evaluations, and usual ones. The last one has nothing beside its evaluations, so it is rather
    too long.
    """
    trainer, iterations = cfg.trainer, cfg.schedule.iterations
    ends = course.rows_s[:: trainer.eval_every // trainer.record_every][1:]
    first, *usual, last = [end - begin for begin, end in pairwise([0.0, *ends])]
    whole = iterations // trainer.full_eval_every
    others = iterations // trainer.eval_every - whole - 1
    return [first + others * stretch + whole * last for stretch in usual]


def whole() -> str:
    """The name of the minutes that a course takes."""
    return f"whole, extrapolated from {SHORT} steps"


def fastest(part: Mapping[str, Any], device: str) -> tuple[str, float | None]:
    """Of what was measured on such a device: the kernels by which a seed in TF32 takes the fewest
    minutes, and these; `library` and None if nothing was.
    """
    if part.get("environment", {}).get("device") != device:
        return "library", None
    found = {
        kernels: float(part[f"{name}/{whole()}"]["median"])
        for name, (seeds, precision, kernels) in COURSES.items()
        if (seeds, precision) == ("0", "tf32") and f"{name}/{whole()}" in part
    }
    return min(found.items(), key=itemgetter(1)) if found else ("library", None)


def memory(course: Course, device: torch.device, limit_gb: float | None) -> Part:
    """PyTorch's counts the graphs' own pools; the device's also CUDA's context and the graphs."""
    if device.type != "cuda":
        return {}
    reserved = torch.cuda.max_memory_reserved(device)
    return {
        "memory": spread([course.used_bytes / 1e9], "GB", at_most=limit_gb),
        "memory/of PyTorch": spread([reserved / 1e9], "GB"),
    }
