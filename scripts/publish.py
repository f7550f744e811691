"""Copy the ended runs of a study from outputs/ to results/ and redraw there (`make publish`).

Checkpoints and W&B files stay behind. Runs that are published already are left as they are.
"""

import argparse
import shutil
import sys
from pathlib import Path

from degradation import cli, records
from degradation.analysis.curves import StudyError
from degradation.analysis.report import write_index, write_report

FILES = (records.CONFIG, records.METRICS, records.SUMMARY, records.ENVIRONMENT)


def publish(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """The names of the runs that were copied, and of those whose published record is another."""
    ended = [run_dir for run_dir in records.run_dirs(source) if records.read_summary(run_dir)]
    if not ended:
        raise StudyError(f"{source}: no ended runs here")
    new, kept = [], []
    for run_dir in ended:
        copy, part = target / "runs" / run_dir.name, target / ".part"
        if copy.exists():
            same = all((run_dir / n).read_bytes() == (copy / n).read_bytes() for n in FILES)
            kept += [] if same else [run_dir.name]
            continue
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name in FILES:
            shutil.copyfile(run_dir / name, part / name)
        copy.parent.mkdir(exist_ok=True)
        part.rename(copy)  # whole or not at all
        new.append(run_dir.name)
    return new, kept


def main(experiment: str, preset: str) -> None:
    source, target = (Path(root, experiment, preset) for root in ("outputs", "results"))
    new, kept = publish(source, target)
    print(f"published {len(new)} runs to {target}: {', '.join(new) or 'none new'}")
    if kept:
        print(f"left as published, though {source} has other records: {', '.join(kept)}")
    write_report(target)
    write_index(Path("results"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.experiment, options.preset)))
