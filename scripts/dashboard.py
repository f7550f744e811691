"""Show the curves of a study in the terminal, from its W&B files (`make dashboard`)."""

import argparse
import sys
from pathlib import Path

from degradation import cli, dashboard

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    study = Path("outputs", options.experiment, options.preset)
    sys.exit(cli.guard(lambda: dashboard.show(study)))
