"""Make the runs that `results/` lacks and publish each as it ends (`make evidence`)."""

import argparse
import sys

from degradation import cli, stopping
from degradation.studies import evidence

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seeds", default="", help="for example 0,1,2; default: the experiment's")
    parser.add_argument("--data-root", default="", help="folder that holds cifar-10-batches-py/")
    parser.add_argument("overrides", nargs="*", help="such as model.depth=18,56")
    options = parser.parse_args()
    stopping.obey()
    sys.exit(
        cli.guard(
            lambda: evidence.complete(
                options.experiment,
                options.preset,
                options.seeds,
                options.data_root,
                options.overrides,
            )
        )
    )
