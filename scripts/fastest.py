"""Print the override with which a fleet in TF32 was the fastest here, by `gpu_seed` in
results/bench/gpu.json: for `scripts/evidence.py ... $(python scripts/fastest.py)`.
"""

import argparse
import json
import sys
from pathlib import Path

from degradation import environment
from degradation.benchmark import gpu_seed
from degradation.config import HardwareConfig

GPU = Path("results/bench/gpu.json")


def main() -> None:
    part = json.loads(GPU.read_text()).get("gpu_seed", {}) if GPU.exists() else {}
    device = environment.device_name(environment.select_device(HardwareConfig()))
    kernels, minutes = gpu_seed.fastest(part, device)
    nothing = f"no gpu_seed of {device} in {GPU}"
    told = f"{minutes:.2f} min a seed, extrapolated" if minutes else nothing
    print(f"batch norm by {kernels}: {told}", file=sys.stderr)
    print(f"hardware.batch_norm_kernels={kernels}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
