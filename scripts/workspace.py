"""Build the dashboard of a study for Weights & Biases and show its outline; with --save, which
needs an account, save it there (`make workspace`).
"""

import argparse
import sys
from collections.abc import Sequence

from degradation import cli
from degradation.config import ConfigError
from degradation.tracking import logged, workspace


def main(experiment: str, preset: str, overrides: Sequence[str], saved: bool) -> None:
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError:
        raise ConfigError(
            "workspace: needs wandb-workspaces, which is not here; "
            "accepted after: pip install wandb-workspaces"
        ) from None
    if saved:
        print(workspace.save(experiment, preset, overrides))
    else:
        print(*workspace.outline(logged.study_of(experiment, preset, overrides)), sep="\n")
        print("not saved; --save does, with an account")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep", help="adhoc: runs without a study")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("overrides", nargs="*", help="such as output_root=/scratch/runs")
    options = parser.parse_args()
    named = options.experiment, options.preset, options.overrides
    sys.exit(cli.guard(lambda: main(*named, options.save)))
