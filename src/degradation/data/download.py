"""Downloading one large file from several mirrors.

torchvision's own downloader has no timeout, no resume and no lock, and the official server of
CIFAR-10 has been serving about 55 kB/s since June 2026 (pytorch/vision#9536), an hour for the
archive.
"""

import contextlib
import http.client
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from degradation import lines
from degradation.data.archives import DataError, Sum, verify

CHUNK_BYTES = 1 << 16


class DownloadError(DataError):
    """No mirror served the file; the message lists every one tried and why it failed."""


class _MirrorError(Exception):
    """This mirror will not do; the reason, for the list of what was tried."""


def download(
    urls: Sequence[str],
    target: Path,
    expected: Sum,
    *,
    timeout_s: float = 20.0,
    slow_bytes_per_s: float = 300e3,
    slow_after_s: float = 15.0,
) -> None:
    """Fetches `target` from the first of `urls` that serves the expected bytes.

    What has arrived is kept in `<target>.part` and continued, by this call or a later one, also
    from another mirror. A mirror is left for the next when it fails, is silent for `timeout_s`, or
    is slower than `slow_bytes_per_s` over `slow_after_s`; the last one may be slow. The caller
    holds a lock. Raises DownloadError if no mirror serves it.
    """
    with contextlib.suppress(DataError):
        verify(target, expected)
        return
    part = target.with_name(f"{target.name}.part")
    tried: list[str] = []
    for number, url in enumerate(urls, 1):
        lines.say(f"downloading {url}", sys.stderr)
        slowest = slow_bytes_per_s if number < len(urls) else 0.0
        try:
            with _progress(expected.size) as report:
                _complete(url, part, expected, timeout_s, _Pace(slowest, slow_after_s, report))
        except (OSError, http.client.HTTPException, _MirrorError) as error:
            tried.append(f"  {url}: {error}")
            lines.say(f"  failed: {error}", sys.stderr)
        else:
            part.replace(target)
            return
    raise DownloadError("\n".join([f"{target.name}: no mirror served it; tried:", *tried]))


class _Pace:
    """Reports the bytes at hand, and raises _MirrorError while they come too slowly."""

    def __init__(self, slowest: float, window_s: float, report: Callable[[int], None]) -> None:
        self.slowest, self.window_s, self.report = slowest, window_s, report
        self.have, self.had, self.since_s = 0, 0, time.monotonic()

    def resume(self, have: int) -> None:
        """A request begins with `have` bytes at hand; the window goes on, pauses count."""
        self.had += have - self.have
        self.have = have

    def arrived(self, count: int) -> None:
        self.have += count
        self.report(self.have)
        spent_s = time.monotonic() - self.since_s
        if spent_s >= self.window_s:
            bytes_per_s = (self.have - self.had) / spent_s
            if bytes_per_s < self.slowest:
                raise _MirrorError(f"too slow, {bytes_per_s / 1e3:,.0f} kB/s")
            self.had, self.since_s = self.have, time.monotonic()


def _complete(url: str, part: Path, expected: Sum, timeout_s: float, pace: _Pace) -> None:
    """Fills `part` from one mirror, asking again as long as every request brings it further."""
    continued = _size(part) > 0
    while True:
        before = _size(part)
        if before >= expected.size:
            try:
                return verify(part, expected)
            except DataError:
                part.unlink()
                if not continued:
                    raise _MirrorError("wrong bytes, the SHA-256 does not match") from None
                continued = False  # The wrong bytes may be another mirror's: once more, from 0.
                before = 0
        try:
            _append(url, part, expected.size, timeout_s, pace)
        except (OSError, http.client.HTTPException):
            if _size(part) <= before:
                raise
        if _size(part) <= before:
            raise _MirrorError(f"connection closed at {_size(part):,} of {expected.size:,} bytes")


def _append(url: str, part: Path, size: int, timeout_s: float, pace: _Pace) -> None:
    """One request for what `part` lacks; a server that ignores the range is read from the start."""
    have = _size(part)
    headers = {"User-Agent": "degradation"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout_s) as response:
        if response.status == 206 and not _starts_at(response, have):
            raise _MirrorError(f"sent another range than asked for, bytes {have:,} to the end")
        if response.status != 206:
            have = 0
        if response.length is not None and have + response.length != size:
            raise _MirrorError(f"serves {have + response.length:,} bytes, expected {size:,}")
        pace.resume(have)
        with part.open("ab" if have else "wb") as file:
            _copy(response, file, size - have, pace)


def _starts_at(response: http.client.HTTPResponse, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _copy(response: http.client.HTTPResponse, file: BinaryIO, wanted: int, pace: _Pace) -> None:
    # read1 hands over what has arrived; read would wait for a whole chunk and hide a slow server.
    while wanted and (chunk := response.read1(min(CHUNK_BYTES, wanted))):
        file.write(chunk)
        wanted -= len(chunk)
        pace.arrived(len(chunk))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """Takes the bytes at hand, shows them on stderr: a bar on a terminal, else a line a tenth."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=size)
            yield lambda have: bar.update(task, completed=have)
        return
    shown = -1

    def line(have: int) -> None:
        nonlocal shown
        if have * 10 // size != shown:
            shown = have * 10 // size
            lines.say(f"  {have / 1e6:,.1f} of {size / 1e6:,.1f} MB", sys.stderr)

    yield line
