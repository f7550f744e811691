"""Upload from their records the runs of a study that the W&B server has not, or not whole
(`make sync`): made offline, or online until the server went away.
"""

import argparse
import sys

from degradation import cli
from degradation.mirroring import sync_study

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: sync_study(options.experiment, options.preset)))
