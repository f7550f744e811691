"""Redraws a study's table, verdicts, figures and REPORT.md from its records; `make report`."""

import argparse
import sys
from pathlib import Path

from degradation import cli
from degradation.analysis.closing import closing_text
from degradation.analysis.overview import RESULTS, write_list
from degradation.analysis.report import write_report


def main(experiment: str, preset: str, given: Path | None) -> None:
    name, outputs = Path(experiment, preset), Path("outputs")
    root = given or (outputs if (outputs / name / "runs").is_dir() else RESULTS)
    study, committed = root / name, RESULTS / name
    try:
        write_report(study)
    finally:
        write_list(RESULTS)
    is_other = study.resolve() != committed.resolve()
    print(closing_text(study, committed if is_other else None))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    parser.add_argument(
        "--root", type=Path, help="folder of the studies; default: outputs, else results"
    )
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.experiment, options.preset, options.root)))
