"""Writes report.html of every study in results/ and the index over them; `make pages`."""

import argparse
import sys

from degradation import cli
from degradation.analysis.overview import RESULTS
from degradation.analysis.pages import write_pages


def main() -> int:
    written, refused = write_pages(RESULTS)
    for path in written:
        print(path)
    for reason in refused:
        print("error:", cli.one_line(reason), file=sys.stderr)
    return 2 if refused else 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(cli.guard(main))
