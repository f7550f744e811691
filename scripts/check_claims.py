"""Judges anyone's curves against a claims file; `make check-claims RUNS=...`.

RUNS is a study folder, a folder of run directories, or a CSV file with columns kind, depth, seed,
iteration and any of train_error_pct (clean), test_error_pct, train_running_error_pct. Exit status
0: judged, whatever the answers - a refuted claim is a finding; 2: RUNS or the claims are unusable.
"""

import argparse
import sys
from pathlib import Path

from degradation import cli
from degradation.analysis.claims import EXPERIMENTS, PRESETS, claims_path, load
from degradation.analysis.judge import judge
from degradation.analysis.sources import read
from degradation.analysis.tables import verdict_text


def main(runs: Path, experiment: str | None, preset: str | None) -> None:
    study = read(runs)
    own = study.experiment or ""
    own = own if own and claims_path(own).exists() else "depth_sweep"
    claims = load(claims_path(experiment or own))
    preset = preset or study.preset or "paper"
    verdicts = judge(claims, preset, study)
    taken = "" if study.data else " (a CSV does not say: taken to be these)"
    print(f"{claims.path}: preset {preset}, data set {claims.data}{taken}; {study.seeds_text}\n")
    print(verdict_text(verdicts, 1 - 2 * claims.level))


if __name__ == "__main__":
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
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.runs, options.experiment, options.preset)))
