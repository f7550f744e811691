"""Lines of processes that write to one output side by side."""

import sys
from typing import TextIO


def say(line: str, file: TextIO | None = None) -> None:
    """In one write with its newline. Where Python does not buffer (PYTHONUNBUFFERED, as in many
    containers) `print` has two, and another process may write between them.
    """
    print(f"{line}\n", end="", file=file or sys.stdout, flush=True)
