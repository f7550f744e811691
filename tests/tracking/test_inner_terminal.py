"""A program in a terminal inside of ours: however it ends, ours is as before."""

import contextlib
import os
import re
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers import is_alive, on_a_terminal, wait_for

PROGRAM = r"printf '\033[?1049h\033[?25l\033[?1002hready as %s.' $$; read typed; "
DRIVER = """
import contextlib, os, sys
from degradation.tracking import inner_terminal
with inner_terminal.noting_signals() as noted:
    status = inner_terminal.run(
        ["/bin/sh", "-c", sys.argv[1]],
        os.environ,
        keys="go\\r",
        until=b"ready",
        noted=noted,
        meanwhile=contextlib.nullcontext(),
    )
    sys.exit(status)
"""
BACK = ("?1049l", "?25h", "?1002l")


class Opened:
    """The driver in a terminal."""

    def __init__(self, program: str, folder: Path) -> None:
        self.pid, self.fd = on_a_terminal(["-c", DRIVER, program], folder)
        self.mode = termios.tcgetattr(self.fd)
        self.drawn = ""
        os.set_blocking(self.fd, False)

    def shows(self, text: str) -> bool:
        with contextlib.suppress(OSError):
            self.drawn += os.read(self.fd, 65536).decode()
        return text in self.drawn

    def inner(self) -> int:
        """The program's process."""
        wait_for(lambda: self.shows(".") and "ready as " in self.drawn)
        match = re.search(r"ready as (\d+)\.", self.drawn)
        assert match
        return int(match[1])

    def status(self) -> int:
        found: list[int] = []

        def has_ended() -> bool:
            self.shows("")
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            found.extend([status] if pid else [])
            return bool(found)

        wait_for(has_ended)
        self.shows("")
        return os.waitstatus_to_exitcode(found[0])


@contextlib.contextmanager
def opened(program: str, folder: Path) -> Iterator[Opened]:
    terminal = Opened(program, folder)
    try:
        yield terminal
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(terminal.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.close(terminal.fd)


def test_keys_are_typed_and_its_status_is_ours(tmp_path: Path) -> None:
    end = r"printf '\033[?1049lgot %s' $typed; exit 7"
    with opened(PROGRAM + end, tmp_path) as terminal:
        assert terminal.status() == 7
        assert terminal.drawn.endswith("got go")  # it has put back itself what it has taken


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_both_and_puts_the_terminal_back(sign: int, tmp_path: Path) -> None:
    with opened(PROGRAM + "sleep 600", tmp_path) as terminal:
        inner = terminal.inner()
        assert termios.tcgetattr(terminal.fd) != terminal.mode
        os.kill(terminal.pid, sign)
        wait_for(lambda: terminal.shows(BACK[-1]))
        os.kill(terminal.pid, sign)  # as where a terminal is closed, and late
        assert terminal.status() == 128 + sign
        assert all(f"\x1b[{code}" in terminal.drawn for code in BACK)
        assert termios.tcgetattr(terminal.fd) == terminal.mode
        assert not is_alive(inner)


def test_a_killed_program_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    with opened(PROGRAM + "kill -9 $$", tmp_path) as terminal:
        assert terminal.status() == 128 + signal.SIGKILL
        assert all(f"\x1b[{code}" in terminal.drawn for code in BACK)


def test_a_closed_terminal_ends_the_program(tmp_path: Path) -> None:
    with opened(PROGRAM + "sleep 600", tmp_path) as terminal:
        inner = terminal.inner()
        os.close(terminal.fd)
        wait_for(lambda: os.waitpid(terminal.pid, os.WNOHANG)[0] > 0)
        assert not is_alive(inner)


def test_ctrl_c_before_it_has_the_screen_is_quiet(tmp_path: Path) -> None:
    with opened("printf begun; sleep 600; printf interrupted", tmp_path) as terminal:
        wait_for(lambda: terminal.shows("begun"))
        os.write(terminal.fd, b"\x03")
        assert terminal.status() == 130
        assert terminal.drawn == "begun"
