"""How a study stands (`make status`): on a terminal until it has ended, elsewhere once."""

import argparse
import sys

from degradation import cli
from degradation.studies.status import status

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep", help="adhoc: runs without a study")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seeds", default="", help="for example 0,1,2; default: all there are")
    parser.add_argument("overrides", nargs="*", help="such as output_root=/scratch/runs")
    options = parser.parse_args()
    sys.exit(
        cli.guard(
            lambda: status(options.experiment, options.preset, options.seeds, options.overrides)
        )
    )
