"""Many runs side by side in one process, driven in turns; on a GPU each has a stream of its own.

A GPU is busy with one small net for a fraction of its width only; the streams fill the rest. The
driver knows nothing of what a run does in its turn.
"""

import contextlib
import dataclasses
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch

from degradation import cli, stopping
from degradation.config import DataConfig
from degradation.data.batches import Data

Job = Callable[[], Generator[None, None, Any]]
"""Begins a run: a generator that stops where others may take their turn."""

FAILED = 1
"""Exit status of a run that ended in an error that is not the user's."""


def drive(jobs: Sequence[Job], side_by_side: int = 0) -> list[int]:
    """The exit status of each run: 0, or that of a run that failed, which the others outlive.

    side_by_side: runs at a time, 0 for all; the next in line begins when one has ended. Raises
    KeyboardInterrupt after every run has been closed, also beside one that fails at that.
    """
    waiting, statuses = deque(enumerate(jobs)), [0] * len(jobs)
    active: dict[int, _Run] = {}
    try:
        while waiting or active:
            while waiting and len(active) < (side_by_side or len(jobs)):
                number, job = waiting.popleft()
                active[number] = _Run(job)
            for number, run in list(active.items()):
                statuses[number] = run.take_turn()
                if run.is_interrupted:  # and so are all
                    raise stopping.noted() or KeyboardInterrupt
                if run.has_ended:
                    del active[number]
    finally:
        for run in active.values():
            run.close()
    return statuses


class _Run:
    """A run and its stream, on which all of its work has its order."""

    def __init__(self, job: Job):
        self._turns, self.has_ended, self.is_interrupted = job(), False, False
        self._stream = torch.cuda.Stream() if torch.cuda.is_available() else None  # type: ignore[no-untyped-call]

    def take_turn(self) -> int:
        status = self._alone(self._advance)
        self.has_ended |= status != 0
        return status

    def _advance(self) -> None:
        self.has_ended = next(self._turns, True) is True

    def close(self) -> None:
        """Raises KeyboardInterrupt on a second Ctrl-C, which does not wait."""
        self.is_interrupted = False
        self._alone(self._turns.close)
        if self.is_interrupted:
            raise stopping.noted() or KeyboardInterrupt

    def _alone(self, act: Callable[[], None]) -> int:
        """The status of a run that is acted on; what it raises is its own."""

        def acting() -> None:
            try:
                act()
            except KeyboardInterrupt:  # has its line from whoever called the driver
                self.is_interrupted = True

        try:
            with self._on_stream():
                return cli.guard(acting)
        except Exception:  # a broken GPU will end the others at their own turn
            traceback.print_exc()
            return FAILED

    def _on_stream(self) -> contextlib.AbstractContextManager[Any]:
        return torch.cuda.stream(self._stream) if self._stream else contextlib.nullcontext()


def sharing(
    load: Callable[[DataConfig, torch.device], Data],
) -> Callable[[DataConfig, torch.device], Data]:
    """`load`, so that runs on the same data have one copy of it."""
    kept: dict[tuple[Any, ...], Data] = {}

    def shared(cfg: DataConfig, device: torch.device) -> Data:
        key = (*dataclasses.astuple(cfg), device)
        if key not in kept:
            kept[key] = load(cfg, device)
            if device.type == "cuda":
                torch.cuda.synchronize(device)  # complete before another stream reads it
        return kept[key]

    return shared
