"""Copy the ended runs of a study from outputs/ to results/ and redraw there (`make publish`).

Checkpoints and W&B files stay behind. Runs that are published already are left as they are.
"""

import argparse
import sys
from pathlib import Path

from degradation import cli, records
from degradation.analysis.curves import StudyError
from degradation.analysis.overview import write_list
from degradation.analysis.report import write_report
from degradation.studies import evidence


def main(experiment: str, preset: str) -> None:
    source, target = (Path(root, experiment, preset) for root in ("outputs", "results"))
    if not any(map(records.read_summary, records.run_dirs(source))):
        raise StudyError(f"{source}: no ended runs here")
    arms = {records.arm_of(name) for name in cli.sweep(experiment, preset)}
    new, kept = evidence.publish(source, target, arms)
    found = {records.arm_of(run_dir.name) for run_dir in records.run_dirs(source)}
    if others := sorted(found - arms):
        print(f"left out, no arms of {experiment}: {', '.join(others)}")
    print(f"published {len(new)} runs to {target}: {', '.join(new) or 'none new'}")
    if kept:
        print(f"left as published, though {source} has other records: {', '.join(kept)}")
    write_report(target)
    write_list(Path("results"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.experiment, options.preset)))
