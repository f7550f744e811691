"""Write the learning rates that lr_choice's published runs choose into conf/chosen_lr.yaml
(`make rates`).
"""

import argparse
import sys
from pathlib import Path

from degradation import cli
from degradation.analysis import rates, sources


def main(preset: str) -> None:
    study = sources.read(Path("results", "lr_choice", preset))
    chosen = rates.choose(study)
    path = cli.conf_dir() / "chosen_lr.yaml"
    rates.write(path, preset, chosen)
    print(path, *(f"  {arm:<14} {rate:g}" for arm, rate in chosen.items()), sep="\n")
    if edge := rates.at_the_edge(study, chosen):
        print(f"at the edge of the grid, so perhaps not the best: {', '.join(edge)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.preset)))
