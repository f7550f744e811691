"""Copy the ended runs of a study from outputs/ to results/ and redraw there (`make publish`).

Checkpoints and W&B files stay behind. Runs that are published already are left as they are.
"""

import argparse
import shutil
from pathlib import Path

from degradation import records
from degradation.analysis.report import write_index, write_report

FILES = (records.CONFIG, records.METRICS, records.SUMMARY, records.ENVIRONMENT)


def publish(source: Path, target: Path) -> list[str]:
    """The names of the runs that were copied."""
    new = []
    for run_dir in records.run_dirs(source):
        copy = target / "runs" / run_dir.name
        if records.read_summary(run_dir) and not copy.exists():
            copy.mkdir(parents=True)
            for name in FILES:
                shutil.copyfile(run_dir / name, copy / name)
            new.append(run_dir.name)
    return new


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    study = Path(options.experiment) / options.preset
    copied = publish("outputs" / study, "results" / study)
    print(f"published {len(copied)} runs to {'results' / study}: {', '.join(copied) or 'none new'}")
    write_report("results" / study)
    write_index(Path("results"))
