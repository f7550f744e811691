"""Who is at work on what: locks on files, which end with their process however that ends."""

import fcntl
import os
from pathlib import Path

LOCK = ".lock"
"""Of a run, in its directory; of a study's report, in the study's."""
PATIENCE_S = 0.5
"""How long a run asks for its lock: who only looks whether it is held has it for a moment."""


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
