"""A line of one process is never cut by another's."""

import os
import subprocess
import sys

import pytest

from degradation.command import POOL_ENDED

SAY = "import sys; from degradation.lines import say; say('x' * 300{}); say('y')"
POOL_KILLED = """
from concurrent.futures.process import BrokenProcessPool
from degradation import command

def killed():
    raise BrokenProcessPool

command._checked_main = killed
command._status()
"""


def first_write(code: str, stream: str, *options: str) -> bytes:
    reader, writer = os.pipe2(os.O_DIRECT)  # whose reads are single writes
    try:
        command = [sys.executable, *options, "-c", code]
        subprocess.run(command, check=True, **{stream: writer})  # type: ignore[call-overload]
        return os.read(reader, 4096)
    finally:
        os.close(reader)
        os.close(writer)


pytestmark = pytest.mark.skipif(
    not hasattr(os, "O_DIRECT"), reason="no pipe here that tells writes apart"
)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("unbuffered", [[], ["-u"]])
def test_a_line_is_one_write(unbuffered: list[str], stream: str) -> None:
    told = SAY.format(f", sys.{stream}")
    assert first_write(told, stream, *unbuffered) == b"x" * 300 + b"\n"


def test_that_a_pool_was_killed_is_one_write() -> None:
    """Its other processes are at work until it ends them, and `make reproduce` reads the line."""
    assert first_write(POOL_KILLED, "stderr", "-u") == f"error: {POOL_ENDED}\n".encode()
