"""Copy the ended runs of a study from outputs/ to results/ and redraw there (`make publish`).

Checkpoints and W&B files stay behind. Runs that are published already are left as they are.
"""

import argparse
import sys
from pathlib import Path

from degradation import cli, records
from degradation.analysis.curves import StudyError
from degradation.analysis.overview import RESULTS, write_list
from degradation.analysis.report import write_report
from degradation.studies import evidence


def main(experiment: str, preset: str) -> int:
    source, target = (Path(root, experiment, preset) for root in ("outputs", RESULTS))
    run_dirs = list(records.run_dirs(source))
    if not any((run_dir / records.SUMMARY).exists() for run_dir in run_dirs):
        raise StudyError(f"{source}: no ended runs here")
    arms = {records.arm_of(name) for name in cli.sweep(experiment, preset)}
    found = evidence.publish(source, target, arms)
    if others := sorted({records.arm_of(run_dir.name) for run_dir in run_dirs} - arms):
        print(f"left out, no arms of {experiment}: {', '.join(others)}")
    print(f"published {len(found.new)} runs to {target}: {', '.join(found.new) or 'none new'}")
    found.tell(source)
    if next(records.run_dirs(target), None):
        write_report(target)
        write_list(RESULTS)
    return 2 if found.failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.experiment, options.preset)))
