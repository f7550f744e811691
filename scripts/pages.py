"""Writes report.html of every study in results/ and the index over them; `make pages`."""

import sys
from pathlib import Path

from degradation.analysis.pages import write_pages

RESULTS = Path("results")


def main() -> int:
    try:
        written, refused = write_pages(RESULTS)
    except OSError as error:
        written, refused = list[Path](), list[Exception]([error])
    for path in written:
        print(path)
    for reason in refused:
        print("error:", " ".join(str(reason).split()), file=sys.stderr)
    return 2 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
