"""The parts of `make bench` by name. Each yields what is known so far, once or several times, so
that a command that is cut off has not measured for nothing.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

from degradation.benchmark import (
    checkpoints,
    gpu,
    gpu_profile,
    gpu_seed,
    gpu_variants,
    memory,
    probes,
    startup,
    study,
    throughput,
)
from degradation.benchmark.results import Part

Measure = Callable[[torch.device], Iterable[Part]]


def of_cpu(root: str | None, checkout: Path) -> dict[str, Measure]:
    return {
        "steps": lambda _: [throughput.measure(root)],
        "start": lambda _: [startup.measure(root)],
        "probes": lambda _: [probes.measure(root)],
        "checkpoints": lambda _: [checkpoints.measure(root)],
        "memory": lambda _: [memory.measure()],
        "study": lambda _: [study.measure(root, checkout)],
    }


def of_gpu(root: str | None) -> dict[str, Measure]:
    """The seed first, while nothing else has memory; the profiler last, since what it leaves behind
    may slow others down.
    """
    return {
        "gpu_seed": partial(gpu_seed.measure, root),
        **{f"gpu{depth}": partial(gpu.measure, depth, root) for depth in gpu.SOLO_MS},
        "gpu_variants": partial(gpu_variants.measure, root),
        "gpu_profile": partial(gpu_profile.measure, root),
    }
