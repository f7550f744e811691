"""Judges anyone's curves against a claims file; `make check-claims RUNS=...`.

RUNS is a study folder, a folder of run directories, or a CSV file with columns kind, depth, seed,
iteration and any of train_error_pct (clean), test_error_pct, train_running_error_pct. Exit status
0: judged, whatever the answers - a refuted claim is a finding; 2: RUNS or the claims are unusable.
"""

import argparse
import sys
from pathlib import Path

from degradation.analysis.claims import EXPERIMENTS, PRESETS, ClaimsError, claims_path, load
from degradation.analysis.curves import StudyError
from degradation.analysis.judge import judge
from degradation.analysis.sources import read
from degradation.analysis.tables import verdict_text
from degradation.records import RecordError


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument(
        "--experiment",
        help=f"whose claims, of {EXPERIMENTS}/; default: the records', else depth_sweep",
    )
    parser.add_argument(
        "--preset", choices=PRESETS, help="default: the records'; a CSV's is taken to be paper"
    )
    arguments = parser.parse_args()
    try:
        study = read(arguments.runs)
        own = (
            study.experiment
            if study.experiment and claims_path(study.experiment).exists()
            else None
        )
        claims = load(claims_path(arguments.experiment or own or "depth_sweep"))
        preset = arguments.preset or study.preset or "paper"
        verdicts = judge(claims, preset, study)
    except (StudyError, ClaimsError, RecordError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    taken = "" if study.data else " (a CSV does not say: taken to be these)"
    print(f"{claims.path}: preset {preset}, data set {claims.data}{taken}; {study.seeds_text}\n")
    print(verdict_text(verdicts, 1 - 2 * claims.level))
    return 0


if __name__ == "__main__":
    sys.exit(main())
