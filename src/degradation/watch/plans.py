"""What the multiruns that are at work on a study are going to run, for who looks from elsewhere.

Each has a file in the study, which it has locked and removes at its end; one that was killed leaves
it, and nobody holds its lock.
"""

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock

from degradation import locks, plain
from degradation.watch.progress import Planned

FILES = "multirun-*.json"


@contextlib.contextmanager
def announced(study_dir: Path, plan: Sequence[Planned]) -> Iterator[None]:
    """For the time of the block; not where the folder cannot be written, which the runs tell."""
    path = study_dir / FILES.replace("*", uuid.uuid4().hex[:8])
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, filelock.Timeout):
            study_dir.mkdir(parents=True, exist_ok=True)
            for left in study_dir.glob(FILES):
                if not locks.is_held(left):
                    left.unlink(missing_ok=True)
            held.enter_context(locks.hold(path))
            held.callback(path.unlink, missing_ok=True)
            path.write_text(json.dumps([dataclasses.asdict(one) for one in plan]))
        yield


def at_work(study_dir: Path) -> list[Planned]:
    """Each run once."""
    found: dict[str, Planned] = {}
    for path in sorted(study_dir.glob(FILES)):
        if locks.is_held(path):
            with contextlib.suppress(OSError, plain.PlainError):  # it is just being written
                found |= {one.name: one for one in map(_planned, plain.json_of(path.read_bytes()))}
    return list(found.values())


def _planned(entry: dict[str, Any]) -> Planned:
    try:
        one = Planned(**entry)
        is_one = one.name == Path(one.name).name and one.iterations >= 1 and one.cost > 0
    except TypeError:
        is_one = False
    if not is_one:
        raise plain.PlainError(f"{entry!r}: no planned run")
    return one
