"""Writes report.html of every study in results/ and the index over them; `make pages`."""

import sys
from pathlib import Path

from degradation.analysis.claims import ClaimsError
from degradation.analysis.curves import StudyError
from degradation.analysis.report import write_pages
from degradation.records import RecordError

RESULTS = Path("results")


def main() -> int:
    try:
        pages = write_pages(RESULTS)
    except (StudyError, ClaimsError, RecordError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    print(*pages, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
