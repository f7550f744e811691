"""Build the dashboard of a study for Weights & Biases and show its outline; with --save, which
needs an account, save it there (`make workspace`).
"""

import argparse
import sys

from degradation import cli, workspace
from degradation.config import ConfigError


def main(experiment: str, preset: str, saved: bool) -> None:
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError:
        raise ConfigError(
            "workspace: needs wandb-workspaces, which is not here; "
            "accepted after: pip install wandb-workspaces"
        ) from None
    if saved:
        print(*workspace.save(experiment, preset), sep="\n")
    else:
        print(*workspace.outline(workspace.study_of(experiment, preset)), sep="\n")
        print("not saved; --save does, with an account")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.experiment, options.preset, options.save)))
