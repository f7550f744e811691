"""`make reproduce PRESET=quick` with three seeds: how long it takes, and how much memory."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from degradation.benchmark.results import ChildError, Part, spread

MINUTES, GIB = 8.0, 2.0
"""At most, on two cores; the memory is one process's."""

METER = """
import pathlib, resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
pathlib.Path("peak").write_text(str(peak))
sys.exit(status)
"""
"""Between us and the command, because a process counts as at least as large as the one it was
forked from.
"""


def measure(root: str | None, checkout: Path) -> Part:
    """Minutes of the whole study after installation, and GiB of the largest of its processes."""
    command = [sys.executable, str(checkout / "scripts" / "reproduce.py"), "--preset", "quick"]
    command += ["--seeds", "0,1,2", *(["--data-root", root] if root else [])]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder, "experiments").symlink_to(checkout / "experiments")
        seconds, peak_bytes = run(command, Path(folder))
    return {
        "reproduce_quick": spread([seconds / 60], "min", at_most=MINUTES),
        "peak_memory": spread([peak_bytes / 2**30], "GiB", at_most=GIB),
    }


def run(command: Sequence[str], folder: Path) -> tuple[float, int]:
    """Seconds, and bytes resident at most in one process: the command's or one below it.

    Raises ChildError if the command fails.
    """
    start = time.perf_counter()
    status = subprocess.run([sys.executable, "-c", METER, *command], cwd=folder, check=False)
    seconds = time.perf_counter() - start
    if status.returncode:
        raise ChildError(f"{' '.join(command)}: ended with status {status.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, int(Path(folder, "peak").read_text()) * unit
