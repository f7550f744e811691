"""Redraws a study's table, verdicts, figures and REPORT.md from its records; `make report`."""

import argparse
import sys
from pathlib import Path

from degradation.analysis.claims import ClaimsError
from degradation.analysis.curves import StudyError
from degradation.analysis.overview import write_list
from degradation.analysis.report import closing_text, write_report
from degradation.records import RecordError

RESULTS = Path("results")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    parser.add_argument(
        "--root", type=Path, help="folder of the studies; default: outputs, else results"
    )
    arguments = parser.parse_args()
    name = Path(arguments.experiment, arguments.preset)
    outputs = Path("outputs")
    root = arguments.root or (outputs if (outputs / name / "runs").is_dir() else RESULTS)
    study, committed = root / name, RESULTS / name
    try:
        try:
            write_report(study)
        finally:
            write_list(RESULTS)
        is_other = study.resolve() != committed.resolve()
        print(closing_text(study, committed if is_other else None))
    except (StudyError, ClaimsError, RecordError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
