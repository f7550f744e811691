"""Count the ImageNet nets and write results/imagenet_family/ (`make imagenet-table`)."""

import argparse
import sys
from pathlib import Path

from degradation import cli, imagenet_family

CHECKOUT = Path(__file__).resolve().parents[1]


def main() -> None:
    print(imagenet_family.write(CHECKOUT).read_text())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(cli.guard(main))
