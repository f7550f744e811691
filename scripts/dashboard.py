"""Show the curves of a study in the terminal, from its W&B files (`make dashboard`)."""

import argparse
import sys

from degradation import cli
from degradation.studies import lookup
from degradation.tracking import dashboard

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep", help="adhoc: runs without a study")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("overrides", nargs="*", help="such as output_root=/scratch/runs")
    options = parser.parse_args()
    named = options.experiment, options.preset, options.overrides
    sys.exit(cli.guard(lambda: dashboard.show(lookup.folder_of(*named))))
