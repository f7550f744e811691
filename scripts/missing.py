"""List the runs of a study that `results/` lacks (`make missing`)."""

import argparse
import sys

from degradation import cli
from degradation.studies import evidence


def main(experiment: str, preset: str, seeds: str) -> None:
    print(*evidence.missing(experiment, preset, seeds), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seeds", default="", help="for example 0,1,2; default: the experiment's")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.experiment, options.preset, options.seeds)))
