"""Measures speed and memory and writes results/bench/{cpu,gpu}.json; `make bench`."""

import argparse
import sys
import traceback
from functools import partial
from pathlib import Path

import torch

from degradation import cli, environment
from degradation.benchmark import parts, results
from degradation.config import HardwareConfig

CHECKOUT = Path(__file__).resolve().parents[1]
CPU, GPU = list(parts.of_cpu(None, CHECKOUT)), list(parts.of_gpu(None))


def bench(name: str, root: str | None) -> None:
    device = environment.select_device(HardwareConfig("cuda" if name in GPU else "cpu"))
    described = environment.describe(device, [])
    described["command"] = f"python scripts/bench.py {name}"
    output = CHECKOUT / "results" / "bench" / ("gpu.json" if name in GPU else "cpu.json")
    for part in (parts.of_cpu(root, CHECKOUT) | parts.of_gpu(root))[name](device):
        results.keep(output, name, {"environment": described} | part)
    print("\n".join([f"{name}:", *results.lines(part)]), flush=True)
    print(f"written to {output.relative_to(CHECKOUT)}", flush=True)


def bench_all(names: list[str], root: str | None) -> int:
    """The exit status: an error that is not the user's costs its own part only."""
    worst = 0
    for name in names:
        try:
            status = cli.guard(partial(bench, name, root))
            if status > 1:
                return status
        except Exception:
            traceback.print_exc()
            status = 1
        worst = max(worst, status)
    return worst


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
    sys.exit(bench_all(options.parts, root))
