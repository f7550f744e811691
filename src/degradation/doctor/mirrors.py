"""Weights & Biases: where rows would go, and what has not been uploaded."""

from collections.abc import Iterator
from pathlib import Path

from degradation.config import ConfigError
from degradation.doctor.page import NOTE, OK, PROBLEM, Line, gib
from degradation.doctor.plan import Asked, output_root, planned
from degradation.tracking import account, run_folders, uploads


def look(asked: Asked) -> Iterator[Line]:
    plan, _ = planned(asked)
    yield from map(mode, sorted({run.tracking.mode for run in plan.values()}) or ["auto"])
    yield from left_over(output_root(asked))


def mode(wish: str) -> Line:
    """What `tracking.mode` comes to here; of a key only whether there is one."""
    key = "a key is here" if account.has_key() else "no key here"
    try:
        found = account.resolve_mode(wish)
    except ConfigError as error:
        return Line(PROBLEM, "W&B", str(error))
    what = {"off": "records only", "offline": "nothing leaves this machine"}
    tail = what.get(found, "which has not been tried, nor the network")
    return Line(OK, "W&B", f"{found} (tracking.mode={wish}), {key}, {tail}")


def left_over(root: Path) -> Iterator[Line]:
    """Offline runs of which the server does not have the end yet."""
    waiting = {study: found for study in sorted(root.glob("*/*")) if (found := _waiting(study))}
    folders = [folder for found in waiting.values() for folder in found]
    if folders:
        size = sum(map(_size, (file for folder in folders for file in folder.glob("*.wandb"))))
        told = f"{len(folders)} offline runs not uploaded, {gib(size)} in {root}"
        yield Line(NOTE, "W&B", told, "; ".join(map(uploads.sync_command, waiting)))


def _waiting(study: Path) -> list[Path]:
    had = {folder for run in uploads.ended_ids(study) for folder in run_folders.of(study, run)}
    return [
        folder
        for folder in study.glob("wandb/offline-run-*")
        if folder not in had and not any(folder.glob("*.wandb.synced"))
    ]


def _size(path: Path) -> int:
    """A run that goes on replaces its older copy meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
