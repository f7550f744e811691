"""wandb's folders of a run: a copy of a run that is made anew takes the place of the older ones
once it is whole.
"""

import contextlib
import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from degradation.tracking import run_file, uploads


class Copy(Protocol):
    """Of a run, by W&B."""

    rows: list[uploads.Row]
    has_all: bool


class _Replaced(NamedTuple):
    older: set[Path]
    newer: set[Path]
    copy: Copy
    online: bool


log = logging.getLogger(__name__)
_replaced: list[_Replaced] = []


def of(study_dir: Path, run_id: str) -> set[Path]:
    """Other runs may add and remove theirs meanwhile. None where they cannot be looked at."""
    name = re.compile(rf"(offline-)?run-\d+_\d+-{re.escape(run_id)}(-\d+)?")
    with contextlib.suppress(OSError):
        return {entry for entry in (study_dir / "wandb").iterdir() if name.fullmatch(entry.name)}
    return set()


def hold(folders: Iterable[Path], rows: int) -> bool:
    """Whether W&B's file has all the rows that it was given, as far as it can be read."""
    with contextlib.suppress(OSError):
        files = [file for folder in folders for file in folder.glob("*.wandb")]
        return sum(map(run_file.rows, files)) >= rows
    return False


def remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def replace(older: set[Path], newer: set[Path], copy: Copy, online: bool) -> None:
    """By `remove_replaced`, later; online the newer hold only what the server had not."""
    _replaced.append(_Replaced(older, newer, copy, online))


def remove_replaced() -> None:
    """Once the new copies are on the disk, or the server has taken all."""
    while _replaced:
        older, newer, copy, online = _replaced.pop()
        if copy.has_all if online else hold(newer, len(copy.rows)):
            remove(older)
        elif not online:
            names = ", ".join(folder.name for folder in newer)
            log.warning("W&B's files lack rows, as on a full disk; the older ones stay: %s", names)
