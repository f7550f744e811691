"""Weights & Biases: where rows would go, and what has not been uploaded."""

from collections.abc import Iterator
from pathlib import Path

from degradation.config import ConfigError
from degradation.doctor.page import NOTE, OK, PROBLEM, Line, gib
from degradation.doctor.plan import Asked, output_root, planned
from degradation.tracking import account


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
    """Offline runs that have not been uploaded; `make sync` removes what it has."""
    folders = root.glob("*/*/wandb/offline-run-*")
    waiting = [folder for folder in folders if not any(folder.glob("*.wandb.synced"))]
    if waiting:
        size = sum(map(_size, (file for folder in waiting for file in folder.glob("*.wandb"))))
        found = f"{len(waiting)} offline runs not uploaded, {gib(size)} in {root}"
        studies = sorted({folder.parts[-4:-2] for folder in waiting})
        remedy = "; ".join(
            f"make sync EXPERIMENT={name} PRESET={preset}" for name, preset in studies
        )
        yield Line(NOTE, "W&B", found, remedy)


def _size(path: Path) -> int:
    """A run that goes on replaces its older copy meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
