"""A full-screen program in a terminal of its own inside of ours, so that keys can be typed into it
for the user; however it ends, our terminal is afterwards as it was before.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pty import STDIN_FILENO, STDOUT_FILENO
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAKEN, GIVEN_BACK = b"\x1b[?1049h", b"\x1b[?1049l"
"""What a program says when it takes the whole screen for itself, and when it has done with it."""
AS_BEFORE = (
    *(GIVEN_BACK, b"\x1b[?25h"),  # the lines from before, and a cursor
    *(b"\x1b[?1000l", b"\x1b[?1002l", b"\x1b[?1003l", b"\x1b[?1006l"),  # the mouse tells nothing
    *(b"\x1b[?1004l", b"\x1b[?2004l", b"\x1b[>4m"),  # nor do focus, pasting, and ctrl with a key
)
CTRL_C = b"\x03"
ENDS_IN_S = 3.0
"""What a program gets to close its files before it is killed."""
SEVERAL_FRAMES = 1 << 16
"""Bytes in which what is waited for has been drawn as a whole."""


@contextlib.contextmanager
def noting_signals() -> Iterator[int]:
    """A block in which those that end a program are only noted, as bytes to be read from the file
    that it gets: what has to be put back at the end is, whenever they come and how often. Those
    that come after a SystemExit are too late to say anything.
    """
    noted, notes = os.pipe()

    def note(number: int, frame: FrameType | None) -> None:
        os.write(notes, bytes([number]))

    before = {sign: signal.getsignal(sign) for sign in ENDING}
    obeyed = [sign for sign in ENDING if before[sign] is not signal.SIG_IGN]  # as nohup sets it
    for sign in obeyed:
        signal.signal(sign, note)
    after = before
    try:
        yield noted
    except SystemExit:
        after = dict.fromkeys(ENDING, signal.SIG_IGN)
        raise
    finally:
        for sign in obeyed:
            signal.signal(sign, after[sign])
        os.close(noted)
        os.close(notes)


def run(
    command: list[str],
    environment: Mapping[str, str],
    *,
    keys: str,
    until: bytes,
    noted: int,
    meanwhile: AbstractContextManager[object],
) -> int:
    """Its exit status, as a shell has it. Raises SystemExit for a signal.

    keys: typed once `until`, a pattern, is on the screen. noted: from `noting_signals`. meanwhile:
    around the program, but begun after the fork, before which there must be no threads.
    """
    program = _Program(*pty.fork(), keys, until)
    if not program.pid:
        try:
            os.execve(command[0], command, environment)
        finally:
            os._exit(127)
    mode = termios.tcgetattr(STDIN_FILENO)
    before = signal.signal(signal.SIGWINCH, program.fit)
    try:
        tty.setraw(STDIN_FILENO)
        program.fit()
        with meanwhile:
            program.pass_on(noted)
        return program.status()
    finally:
        signal.signal(signal.SIGWINCH, before)
        program.end()
        with contextlib.suppress(OSError, termios.error):  # no terminal any more
            termios.tcsetattr(STDIN_FILENO, termios.TCSADRAIN, mode)
            if program.has_screen:
                _write(STDOUT_FILENO, b"".join(AS_BEFORE))


@dataclass
class _Program:
    pid: int
    terminal: int
    """Our end of its terminal."""
    keys: str
    until: bytes
    has_screen: bool = False
    _drawn: bytes = b""

    def fit(self, *_: object) -> None:
        """Its terminal is as large as ours."""
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(STDIN_FILENO, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    def pass_on(self, noted: int) -> None:
        """What it draws and what the user types, until it closes its terminal."""
        while True:
            ready = select.select([STDIN_FILENO, self.terminal, noted], [], [])[0]
            if noted in ready:
                raise SystemExit(128 + os.read(noted, 1)[0])
            if self.terminal in ready:
                drawn = _read(self.terminal)
                if not drawn:
                    return
                _write(STDOUT_FILENO, drawn)
                self._look(drawn)
            if STDIN_FILENO in ready:
                typed = _read(STDIN_FILENO)
                if not typed:  # as after SIGHUP, which nohup ignores
                    raise SystemExit(128 + signal.SIGHUP)
                if CTRL_C in typed and not self.has_screen:  # it would answer with a traceback
                    raise SystemExit(128 + signal.SIGINT)
                _write(self.terminal, typed)

    def _look(self, drawn: bytes) -> None:
        self._drawn += drawn
        taken, given_back = self._drawn.rfind(TAKEN), self._drawn.rfind(GIVEN_BACK)
        if taken != given_back:
            self.has_screen = taken > given_back
        if self.keys and re.search(self.until, self._drawn):
            _write(self.terminal, self.keys.encode())
            self.keys = ""
        self._drawn = self._drawn[-(SEVERAL_FRAMES if self.keys else len(TAKEN)) :]

    def status(self) -> int:
        """Once it has closed its terminal."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return code if code >= 0 else 128 - code

    def end(self) -> None:
        """With all that it has started."""
        if self.pid:
            self._signal(signal.SIGTERM)
            until = time.monotonic() + ENDS_IN_S
            while (left := until - time.monotonic()) > 0:
                if select.select([self.terminal], [], [], left)[0] and not _read(self.terminal):
                    break  # nobody has it open any more
            self._signal(signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def _signal(self, sign: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, sign)


def _read(file: int) -> bytes:
    """Nothing at the end, for which a terminal has an error."""
    try:
        return os.read(file, 65536)
    except OSError:
        return b""


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
