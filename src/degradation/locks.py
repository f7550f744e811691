"""Who is at work on what: locks on files, which end with their process however that ends. The file
has the time at which its lock was taken last.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

LOCK = ".lock"
"""Of a run, in its directory; of a study's report, in the study's."""
AT_WORK = "another process is at work on this run"
PATIENCE_S = 0.5
"""Seconds that a run waits for its lock: `is_held` takes it for a moment."""


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Raises filelock.Timeout where another process holds it."""
    with filelock.FileLock(path, timeout=PATIENCE_S):
        os.utime(path)
        yield


def is_held(path: Path) -> bool:
    """Whether another process holds the lock, which is asked for and given back at once."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:  # never made, or not ours to read
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def taken_at(path: Path) -> int | None:
    """When it was taken last, in nanoseconds; None where it never was."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
