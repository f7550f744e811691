"""The whole study in one command: data, preset, sweep, figures, verdict (`make reproduce`)."""

import argparse
import signal
import sys

from degradation import cli
from degradation.reproduce import reproduce


def interrupt(*_: object) -> None:
    """So that a closed terminal ends the sweep as Ctrl-C does, and leaves no pool behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="", help="quick or paper; default: chosen by timing")
    parser.add_argument("--seeds", default="", help="for example 0,1,2; default: the experiment's")
    parser.add_argument("--data-root", default="", help="folder that holds cifar-10-batches-py/")
    options = parser.parse_args()
    for sign in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) is signal.SIG_DFL:  # not under nohup
            signal.signal(sign, interrupt)
    sys.exit(
        cli.guard(
            lambda: reproduce(options.experiment, options.preset, options.seeds, options.data_root)
        )
    )
