"""The live view of a multirun, on the terminal below the lines that its runs print."""

import contextlib
import os
import select
import sys
import threading
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleDimensions

from degradation.watch import live
from degradation.watch.progress import Sweep

STDOUT, STDERR = 1, 2
LOOK_EVERY_S = 0.1
"""For the last lines, once the block is over."""
TOGETHER_S = 0.5
"""Seconds of output that are printed together, since each print redraws the view below."""


@contextlib.contextmanager
def below_lines(sweep: Sweep) -> Iterator[None]:
    """For the time of the block, once in a process; standard output has to be a terminal.

    All that goes there, from processes started meanwhile too, comes by a pipe to this one, which
    alone writes to the terminal. The view leaves no trace, unless the window was made narrower
    while it was shown.
    """
    reader, writer = os.pipe()
    terminal = os.fdopen(os.dup(STDOUT), "w", encoding="utf-8", errors="replace")
    console, is_over, is_drained = Console(file=terminal), threading.Event(), threading.Event()
    viewer = threading.Thread(target=_show, args=(sweep, is_drained, console), daemon=True)
    streams = (reader, is_over, is_drained, viewer, console)
    printer = threading.Thread(target=_pass_on, args=streams, daemon=True)
    try:
        with _redirected(writer):
            viewer.start()
            printer.start()
            yield
    finally:
        is_over.set()
        viewer.join()


@contextlib.contextmanager
def _redirected(writer: int) -> Iterator[None]:
    """Of standard output and errors what goes to the terminal."""
    streams = [stream for stream in (STDOUT, STDERR) if os.isatty(stream)]
    kept = {stream: os.dup(stream) for stream in streams}
    try:
        for stream in streams:
            os.dup2(writer, stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, before in kept.items():
            os.dup2(before, stream)
            os.close(before)


def _show(sweep: Sweep, over: threading.Event, console: Console) -> None:
    def goes_on() -> bool:
        columns, lines = os.get_terminal_size(console.file.fileno())
        # rich would ask standard output, a pipe; a terminal that nobody has told its size has none
        console.size = ConsoleDimensions(columns or 80, lines or 24)
        return not over.is_set()

    with contextlib.suppress(OSError):  # the terminal is gone
        live.watch(sweep, goes_on, console, pause=over.wait, is_below_lines=True)


def _pass_on(
    reader: int,
    is_over: threading.Event,
    is_drained: threading.Event,
    viewer: threading.Thread,
    console: Console,
) -> None:
    """Line by line, until this process ends: a pool's processes end some time after their last run,
    and nobody must wait for the pipe. After the last line of the block the view goes; one that is
    printed while it does would leave it there.
    """
    rest = b""
    while True:
        if select.select([reader], [], [], LOOK_EVERY_S)[0]:
            is_over.wait(TOGETHER_S)
            *lines, rest = (rest + os.read(reader, 1 << 16)).split(b"\n")
            _print(lines, console)
        elif is_over.is_set() and not is_drained.is_set():
            _print([rest] if rest else [], console)
            rest = b""
            is_drained.set()
            viewer.join()


def _print(lines: Sequence[bytes], console: Console) -> None:
    if lines:
        with contextlib.suppress(Exception):  # of the terminal's; the next lines come all the same
            console.out(b"\n".join(lines).decode(errors="replace"), highlight=False)
