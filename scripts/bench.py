"""Measures speed and memory and writes results/bench/{cpu,gpu}.json; `make bench`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from degradation import cli, environment
from degradation.benchmark import (
    checkpoints,
    gpu,
    memory,
    probes,
    results,
    startup,
    study,
    throughput,
)
from degradation.config import HardwareConfig

CHECKOUT = Path(__file__).resolve().parents[1]
CPU = ["steps", "start", "probes", "checkpoints", "memory", "study"]
GPU = ["gpu_seed", "gpu20", "gpu56", "gpu110"]


def bench(names: list[str], root: str | None) -> None:
    parts: dict[str, Callable[[], results.Part]] = {
        "steps": lambda: throughput.measure(root),
        "start": lambda: startup.measure(root),
        "probes": lambda: probes.measure(root),
        "checkpoints": lambda: checkpoints.measure(root),
        "memory": memory.measure,
        "study": lambda: study.measure(root, CHECKOUT),
        "gpu_seed": lambda: gpu.measure_seed(root),
        **{f"gpu{n}": lambda n=n: gpu.measure(n, root) for n in gpu.SOLO_MS},  # type: ignore[misc]
    }
    for name in names:
        device = environment.select_device(HardwareConfig("cuda" if name in GPU else "cpu"))
        described = environment.describe(device, [])
        described["command"] = f"python scripts/bench.py {name}"
        part = {"environment": described} | parts[name]()
        output = CHECKOUT / "results" / "bench" / ("gpu.json" if name in GPU else "cpu.json")
        results.keep(output, name, part)
        print("\n".join([f"{name}:", *results.lines(part)]), flush=True)
        print(f"written to {output.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    here = GPU if torch.cuda.is_available() else CPU
    choices = [*CPU, *GPU]
    parser.add_argument("parts", nargs="*", default=here, help=f"of {', '.join(choices)}")
    parser.add_argument("--data-root", default="", help="folder that holds cifar-10-batches-py/")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(choices):
        parser.error(f"parts: {', '.join(sorted(unknown))}; accepted: {', '.join(choices)}")
    root = str(Path(options.data_root).resolve()) if options.data_root else None
    sys.exit(cli.guard(lambda: bench(options.parts, root)))
