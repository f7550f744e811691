"""The whole study in one command: data, preset, sweep, figures, verdict (`make reproduce`)."""

import argparse
import sys

from degradation import cli, stopping
from degradation.studies.reproduce import reproduce

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="", help="quick or paper; default: chosen by timing")
    parser.add_argument("--seeds", default="", help="for example 0,1,2; default: the experiment's")
    parser.add_argument("--data-root", default="", help="folder that holds cifar-10-batches-py/")
    options = parser.parse_args()
    stopping.obey()
    sys.exit(
        cli.guard(
            lambda: reproduce(options.experiment, options.preset, options.seeds, options.data_root)
        )
    )
