"""A line of one process is never cut by another's."""

import os
import subprocess
import sys

import pytest

SAY = "import sys; from degradation.lines import say; say('x' * 300{}); say('y')"


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="no pipe here that tells writes apart")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("unbuffered", [[], ["-u"]])
def test_a_line_is_one_write(unbuffered: list[str], stream: str) -> None:
    reader, writer = os.pipe2(os.O_DIRECT)  # whose reads are single writes
    told = SAY.format(f", sys.{stream}")
    try:
        command = [sys.executable, *unbuffered, "-c", told]
        subprocess.run(command, check=True, **{stream: writer})  # type: ignore[call-overload]
        assert os.read(reader, 4096) == b"x" * 300 + b"\n"
    finally:
        os.close(reader)
        os.close(writer)
