"""Print the override with which a fleet in TF32 was the fastest here, by `gpu_seed` in
results/bench/gpu.json: for `scripts/evidence.py ... $(python scripts/fastest.py)`.
"""

import json
import sys
from pathlib import Path

from degradation.benchmark import gpu_seed

GPU = Path("results/bench/gpu.json")


def main() -> None:
    part = json.loads(GPU.read_text()).get("gpu_seed", {}) if GPU.exists() else {}
    kernels, minutes = gpu_seed.fastest(part)
    told = f"{minutes:.2f} min a seed, extrapolated" if minutes else f"no gpu_seed in {GPU}"
    print(f"batch norm by {kernels}: {told}", file=sys.stderr)
    print(f"hardware.batch_norm_kernels={kernels}")


if __name__ == "__main__":
    main()
