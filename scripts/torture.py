"""Kill real runs at random moments, break their storage, spoil what users hand in, and count what
was survived: results/torture.json (`make torture`).
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the harness is that of the tests

from tests.torture import faults, fuzz, kills  # noqa: E402

from degradation import environment  # noqa: E402
from degradation.config import HardwareConfig  # noqa: E402
from degradation.records import write_json  # noqa: E402


def torture(killed: int, cases: int, seed: int) -> bool:
    """Whether all was survived; says what was not."""
    with tempfile.TemporaryDirectory() as folder:
        runs = kills.kill_runs(killed, seed, Path(folder, "kills"))
        injected = faults.inject_all(Path(folder, "faults"))
        spoilt = fuzz.fuzz(cases, seed, ROOT / "outputs" / "torture")
    lost = [run.fault for run in runs if run.fault]
    untidy = [told for run in runs for told in run.tracebacks]
    here = {name: told for name, told in injected.items() if not told.startswith("not here")}
    broken = {name: told for name, told in here.items() if told != "survived"}
    fuzzed, crashes = sum(one.inputs for one in spoilt), sum(one.crashes for one in spoilt)
    counted = kills.as_json(runs)
    counts = {
        "kills": counted,
        "faults": {"injected": len(here), "survived": len(here) - len(broken), **injected},
        "inputs": {"fuzzed": fuzzed, "crashes": crashes, "readers": fuzz.as_json(spoilt)},
    }
    described = environment.describe(environment.select_device(HardwareConfig("cpu")), [])
    described["command"] = f"make torture (seed {seed})"
    write_json(ROOT / "results" / "torture.json", {"environment": described, **counts})
    print("kills: {tried} tried, {survived} survived, at {runs} runs".format(**counted), end="; ")
    print(f"{len(untidy)} ended in a traceback")
    print(f"faults of the storage: {len(here)} injected, {len(here) - len(broken)} survived")
    print(f"inputs: {fuzzed} fuzzed, {crashes} crashes")
    print(*lost, *untidy, *(f"{name}: {told}" for name, told in broken.items()), sep="\n", end="")
    return not (lost or untidy or broken or crashes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--cases", type=int, default=500, help="spoilt inputs a reader")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.exit(0 if torture(options.kills, options.cases, options.seed) else 1)
