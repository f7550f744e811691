"""From command to the first training step, with the data in the cache."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from degradation.benchmark.results import ChildError, Part, spread
from degradation.data.images import load_images

ROUNDS = 5
LIBRARIES = "import filelock, hydra, numpy, torch, yaml; print(flush=True)"
"""What a run needs of others before its first step, W&B aside."""
FIRST_STEP = (
    "trainer.record_every=1",
    "trainer.eval_every=0",
    "trainer.full_eval_every=0",
    "trainer.checkpoint_every=0",
)
"""With these a run's first line on the terminal comes after the first step and nothing else."""


def measure(root: str | None) -> Part:
    """Seconds: of the command as it is, without tracking, of the libraries alone, and what is
    left of the command without tracking and libraries: the project's own.

    root: a folder to fill the cache from, if it is empty. Raises DataError.
    """
    load_images("cifar10", root)
    commands = {"command": run_command("offline"), "untracked": run_command("off")}
    commands["libraries"] = [sys.executable, "-c", LIBRARIES]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):  # the first one warms the disk's cache
        for name, command in commands.items():
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                taken = first_line_s(command, folder)
            if number:
                seconds[name].append(taken)
    pairs = zip(seconds["untracked"], seconds["libraries"], strict=True)
    own = [whole - libraries for whole, libraries in pairs]
    return {
        "command": spread(seconds["command"], "s", at_most=8),
        "command_untracked": spread(seconds["untracked"], "s"),
        "libraries": spread(seconds["libraries"], "s"),
        "own_code": spread(own, "s", at_most=1),
    }


def run_command(tracking: str) -> list[str]:
    arguments = ["hardware=cpu", f"tracking={tracking}", *FIRST_STEP]
    return [sys.executable, "-m", "degradation", *arguments]


def obey_interrupts() -> None:
    """What a shell starts in its background ignores them, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def first_line_s(command: Sequence[str], folder: str) -> float:
    """Seconds from the start of a command in that folder to its first line; it is then
    interrupted.

    Raises ChildError if it ends without a line.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_interrupts,  # noqa: PLW1509
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        taken = time.perf_counter() - start
        process.send_signal(signal.SIGINT)  # which does nothing to one that has ended
        _, errors = process.communicate()
    if not line:
        raise ChildError(f"{' '.join(command)}: {errors.strip() or 'ended without a line'}")
    return taken
