"""Upload from their records the runs of a study that the W&B server has not, or not whole
(`make sync`): made offline, or online until the server went away.
"""

import argparse
import sys

from degradation import cli
from degradation.studies.lookup import folder_of
from degradation.tracking.copies import sync_study

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep", help="adhoc: runs without a study")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("overrides", nargs="*", help="such as output_root=/scratch/runs")
    options = parser.parse_args()
    named = options.experiment, options.preset, options.overrides
    sys.exit(cli.guard(lambda: sync_study(folder_of(*named))))
