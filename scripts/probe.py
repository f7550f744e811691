"""Measure a trained run: `python scripts/probe.py RUN --probe gradients,responses`."""

import argparse
import sys
from pathlib import Path

from degradation import cli, config, probing


def main(run: str, names: str, data_root: str) -> None:
    row = probing.probe_run(Path(run), list(filter(None, names.split(","))), data_root or None)
    for key, value in row.items():
        print(f"{key:<44} {value:.6g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run directory with a checkpoint")
    parser.add_argument("--probe", default="", help="by comma: " + ", ".join(config.PROBES))
    parser.add_argument("--data-root", default="", help="folder that holds cifar-10-batches-py/")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.run, options.probe, options.data_root)))
