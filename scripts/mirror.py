"""Write W&B's files of a study's runs anew from their records (`make mirror`): what W&B lost on a
full disk or with a kill is back, and nothing is there twice.
"""

import argparse
import sys

from degradation import cli
from degradation.studies.lookup import folder_of
from degradation.tracking.copies import mirror_study

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep", help="adhoc: runs without a study")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("overrides", nargs="*", help="such as output_root=/scratch/runs")
    options = parser.parse_args()
    named = options.experiment, options.preset, options.overrides
    sys.exit(cli.guard(lambda: mirror_study(folder_of(*named))))
