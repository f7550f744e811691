"""Write W&B's files of a study's runs anew from their records (`make mirror`): what W&B lost on a
full disk or with a kill is back, and nothing is there twice.
"""

import argparse
import sys

from degradation import cli
from degradation.mirroring import mirror_study

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: mirror_study(options.experiment, options.preset)))
