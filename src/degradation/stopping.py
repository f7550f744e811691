"""Signals that end a run: between two steps, so that its checkpoint is of exactly the last one.

While a run trains, Ctrl-C, SIGTERM, SIGHUP and a batch system's SIGUSR2 are only noted; the loop
asks after each step. At any other time they end the command at once. A second Ctrl-C does always.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "terminal closed",
    signal.SIGUSR2: "out of time",
}
"""What is said to the user; these are the signals that are obeyed."""
TORCHRUN = "TORCHELASTIC_RUN_ID"
"""In the environment of a process that torchrun has started."""

_noted: signal.Signals | None = None
_in_training = 0
_is_closing = False
_torchrun = os.getppid() if TORCHRUN in os.environ else None
_before: dict[signal.Signals, Any] = {}
"""The handlers that ours have taken the place of."""


class Stopped(KeyboardInterrupt):
    """Ends a run by a signal; libraries let it pass as they let Ctrl-C."""

    def __init__(self, sign: signal.Signals, at_once: bool = False):
        super().__init__(sign)
        self.at_once = at_once
        """Wherever the run was, perhaps in the middle of a step."""
        self.status = 128 + sign
        """The exit status, as shells have it: 130 after Ctrl-C, 143 after SIGTERM."""
        self.word = WORDS[sign]


def noted() -> Stopped | None:
    """What a signal has asked for so far."""
    if is_orphan():
        return Stopped(_noted or signal.SIGTERM)
    return Stopped(_noted) if _noted else None


def note(sign: signal.Signals) -> None:
    """As if this process had had the signal that another one of its run has had."""
    global _noted  # noqa: PLW0603
    _noted = _noted or sign


def check() -> None:
    """Between two steps. Raises Stopped."""
    if stopped := noted():
        raise stopped


@contextlib.contextmanager
def training() -> Iterator[None]:
    """A block in which signals are only noted."""
    global _in_training  # noqa: PLW0603
    _in_training += 1
    try:
        yield
    finally:
        _in_training -= 1


@contextlib.contextmanager
def closing() -> Iterator[None]:
    """A moment that no signal breaks off, a second Ctrl-C neither."""
    global _is_closing  # noqa: PLW0603
    _is_closing = True
    try:
        yield
    finally:
        _is_closing = False


def obey() -> None:
    """From now on; does nothing where that has been said already, or outside the main thread."""
    if _before or threading.current_thread() is not threading.main_thread():
        return
    for sign in WORDS:
        handler = signal.getsignal(sign)
        by_default = handler in (signal.SIG_DFL, signal.default_int_handler)
        # not what nohup ignores, and SIGUSR2 only where a batch system has its handler
        if handler is signal.SIG_IGN or (sign == signal.SIGUSR2 and not callable(handler)):
            continue
        if by_default or callable(handler):
            _before[sign] = signal.signal(sign, _note)


@contextlib.contextmanager
def obeyed() -> Iterator[None]:
    """The same for a block; afterwards all is as before it, and nothing noted."""
    global _noted  # noqa: PLW0603
    try:
        obey()
        yield
    finally:
        for sign, handler in _before.items():
            signal.signal(sign, handler)
        _before.clear()
        _noted = None


def _note(number: int, frame: FrameType | None) -> None:
    global _noted  # noqa: PLW0603
    sign, again = signal.Signals(number), _noted is not None
    if again and _torchrun:  # which passes on what has ended one process to the others
        return
    _noted = _noted or sign
    workers = multiprocessing.active_children()
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)  # type: ignore[arg-type]
    waits = _in_training or workers or is_worker()
    if _is_closing:
        return
    if (again and sign == signal.SIGINT) or not waits:
        raise Stopped(_noted, at_once=True)


def is_worker() -> bool:
    """A process of the pool; it must not end between two runs, or the pool kills the others."""
    return multiprocessing.parent_process() is not None


def is_orphan() -> bool:
    """A process of a pool or of torchrun whose parent was killed: nobody waits for it any more."""
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent else _torchrun
    return pid not in (None, os.getppid())
