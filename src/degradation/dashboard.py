"""`make dashboard`: a study's curves in the terminal, by `wandb leet`.

leet lists runs by the names of their folders, and of wandb's (`offline-run-20260101_120000-...`) it
has room for what all have in common. So it is shown links, with the runs' own names.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from degradation import records, uploads
from degradation.config import ConfigError

LOOK_EVERY_S = 2.0
"""For runs that begin while it is open."""
STAMP = "00000000_000000"
"""Where leet wants a time, by which it sorts; all the same, it sorts by name."""


def show(study: Path) -> int:
    """The exit status of leet. Raises ConfigError where there is nothing to show."""
    if not files(study):
        raise ConfigError(
            f"{study / 'wandb'}: no W&B files; runs write them (but not with tracking=off), and "
            "`make mirror` makes them from records"
        )
    closed = threading.Event()
    with tempfile.TemporaryDirectory(prefix="degradation-") as folder:
        settings = {"metrics_filter": {"query": _measure(study)}}
        Path(folder, ".wandb-leet.json").write_text(json.dumps(settings))
        link(study, Path(folder))

        def follow() -> None:
            while not closed.wait(LOOK_EVERY_S):
                link(study, Path(folder))

        follower = threading.Thread(target=follow)
        follower.start()
        try:
            command = [sys.executable, "-m", "wandb", "leet", folder]
            environment = os.environ | {"WANDB_ERROR_REPORTING": "false"}
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            closed.set()
            follower.join()


def link(study: Path, folder: Path) -> None:
    """A folder with a link for each run."""
    for name, file in files(study).items():
        place = folder / f"run-{STAMP}-{name}" / f"run-{name}.wandb"
        new = folder / ".new"
        with contextlib.suppress(OSError):  # looked at again in a moment
            place.parent.mkdir(exist_ok=True)
            if not place.is_symlink() or place.readlink() != file:
                new.unlink(missing_ok=True)
                new.symlink_to(file)
                new.replace(place)


def files(study: Path) -> dict[str, Path]:
    """wandb's files by the names of their runs; of several of a run the newest."""
    ours, prefix = uploads.our_ids(study), f"{study.parent.name}-{study.name}-"
    found = [
        (match[1], file.stem.removeprefix("run-"), file.parent.name, file.resolve())
        for file in (study / "wandb").glob("*run-*/run-*.wandb")
        if (match := re.match(r"(?:offline-)?run-(\d+_\d+)-", file.parent.name))
    ]
    return {
        re.sub("-[0-9a-f]{8}$", "", ours.get(run_id, run_id).removeprefix(prefix)): file
        for _, run_id, _, file in sorted(found)  # the second of a second has a folder `...-1`
    }


def _measure(study: Path) -> str:
    """What to show first: errors, or losses of nets that have none."""
    for run_dir in records.run_dirs(study):
        if rows := records.read_rows(run_dir / records.METRICS):
            return "error_pct" if any("error_pct" in key for row in rows for key in row) else "loss"
    return "error_pct"
