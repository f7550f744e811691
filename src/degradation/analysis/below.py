"""The live view of a multirun, on the terminal below the lines that its runs print."""

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, ConsoleDimensions

from degradation.analysis import live
from degradation.analysis.progress import Sweep

STDOUT, STDERR = 1, 2
LOOK_EVERY_S = 0.1
"""For the last lines, once the block is over."""
TOGETHER_S = 0.5
"""Lines of so long are printed at once, since the view has to be drawn below them each time."""


@contextlib.contextmanager
def below_lines(sweep: Sweep) -> Iterator[None]:
    """For the time of the block; standard output has to be a terminal.

    All that goes there, from processes started meanwhile too, comes by a pipe to this one, which
    alone writes to the terminal. Nothing is left of the view at the end.
    """
    terminal = os.dup(STDOUT)
    reader, writer = os.pipe()
    with os.fdopen(terminal, "w", encoding="utf-8", errors="replace") as file:
        console = Console(file=file)
        # Ended in this order: a line that is printed while the view goes would leave it there.
        threads = [
            _Thread(lambda over: _pass_on(reader, over, console)),
            _Thread(lambda over: _show(sweep, over, console)),
        ]
        try:
            with _redirected(writer):
                for thread in threads:
                    thread.start()
                yield
        finally:
            for thread in threads:
                thread.end()
            # The pipe stays: a pool's processes have it, and end some time after their last run.


class _Thread(threading.Thread):
    """Works until it is told that all is over."""

    def __init__(self, work: Callable[[threading.Event], None]):
        self._over = threading.Event()
        super().__init__(target=work, args=[self._over], daemon=True)

    def end(self) -> None:
        self._over.set()
        self.join()


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
    with contextlib.suppress(OSError):  # the terminal is gone

        def goes_on() -> bool:
            columns, lines = os.get_terminal_size(console.file.fileno())
            console.size = ConsoleDimensions(columns, lines)  # it asks standard output, a pipe
            return not over.is_set()

        live.watch(sweep, goes_on, console, pause=over.wait, is_below_lines=True)


def _pass_on(reader: int, over: threading.Event, console: Console) -> None:
    """Line by line. Where the terminal is gone they are dropped: nobody must wait for the pipe."""
    rest = b""
    while (is_written := _is_written(reader)) or not over.is_set():
        if is_written:
            over.wait(TOGETHER_S)
            *lines, rest = (rest + os.read(reader, 1 << 16)).split(b"\n")
            _print(lines, console)
    _print([rest] if rest else [], console)


def _is_written(reader: int) -> bool:
    return bool(select.select([reader], [], [], LOOK_EVERY_S)[0])


def _print(lines: Sequence[bytes], console: Console) -> None:
    if lines:
        with contextlib.suppress(OSError):
            console.out(b"\n".join(lines).decode(errors="replace"), highlight=False)
