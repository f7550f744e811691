"""Measures speed and memory and writes results/bench/cpu.json; `make bench`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from degradation import cli, environment
from degradation.benchmark import results, startup, study, throughput
from degradation.benchmark.results import Part

CHECKOUT = Path(__file__).resolve().parents[1]
OUTPUT = CHECKOUT / "results" / "bench" / "cpu.json"


def bench(names: list[str], root: str | None) -> None:
    parts: dict[str, Callable[[], Part]] = {
        "steps": lambda: throughput.measure(root),
        "start": lambda: startup.measure(root),
        "study": lambda: study.measure(root, CHECKOUT),
    }
    for name in names:
        described = environment.describe(torch.device("cpu"), [])
        described["command"] = f"python scripts/bench.py {name}"
        part = {"environment": described} | parts[name]()
        results.keep(OUTPUT, name, part)
        print("\n".join([f"{name}:", *results.lines(part)]), flush=True)
    print(f"written to {OUTPUT.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    choices = ["steps", "start", "study"]
    parser.add_argument("parts", nargs="*", default=choices, help=f"of {', '.join(choices)}")
    parser.add_argument("--data-root", default="", help="folder that holds cifar-10-batches-py/")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(choices):
        parser.error(f"parts: {', '.join(sorted(unknown))}; accepted: {', '.join(choices)}")
    root = str(Path(options.data_root).resolve()) if options.data_root else None
    sys.exit(cli.guard(lambda: bench(options.parts, root)))
