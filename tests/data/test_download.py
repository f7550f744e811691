"""Downloads from a real server on loopback that misbehaves in every way the mirrors do."""

import contextlib
import hashlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import wait_for

from degradation.data.archives import Sum
from degradation.data.download import DownloadError, download

PAYLOAD = np.random.Generator(np.random.PCG64(1)).bytes(1_000_000)
PAYLOAD_SUM = Sum(len(PAYLOAD), hashlib.sha256(PAYLOAD).hexdigest())
CUT = 300_000


class Server(http.server.ThreadingHTTPServer):
    """`/<fault>` serves PAYLOAD with that fault; keeps what was asked and how much was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, int]] = []
        """(fault, first byte of the range)."""
        self.sent = 0
        self.release = threading.Event()
        """Lets the answers go on that wait."""
        self.waiting = threading.Event()

    def url(self, fault: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{fault}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        fault = self.path.strip("/")
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.server.asked.append((fault, start))
        if fault == "drip":
            self.server.release.wait(0.15)
        if fault == "404":
            self.send_error(404)
            return
        if fault in ("no-range", "cut-no-range"):
            start = 0
        body = {"html": b"<html>log in first</html>", "wrong": bytes(len(PAYLOAD))}.get(
            fault, PAYLOAD
        )
        self.send_response(206 if start else 200)
        if start:
            first = 0 if fault == "other-range" else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.send_body(fault, body[start:], start)

    def send_body(self, fault: str, body: bytes, start: int) -> None:
        if fault == "slow":
            for at in range(0, len(body), 20_000):
                self.write(body[at : at + 20_000])
                self.server.release.wait(0.02)
        elif fault in ("stall", "gate"):
            self.write(b"" if start else body[: len(body) // 2])
            self.server.waiting.set()
            self.server.release.wait()
            self.write(body[0 if start else len(body) // 2 :] if fault == "gate" else b"")
        else:
            self.write(
                body[: {"closed": 0, "cut": CUT, "drip": CUT, "cut-no-range": CUT}.get(fault)]
            )

    def write(self, part: bytes) -> None:
        self.server.sent += len(part)  # before the client can have it all and look
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def fetch(server: Server, target: Path, *faults: str) -> None:
    urls = [server.url(fault) for fault in faults]
    timeout_s = 0.5 if "stall" in faults else 30  # short only where it is waited for
    download(urls, target, PAYLOAD_SUM, timeout_s=timeout_s, slow_bytes_per_s=1e8, slow_after_s=0.1)


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


@pytest.mark.parametrize(
    "fault", ["404", "stall", "closed", "cut-no-range", "wrong", "html", "slow", "drip", "no-range"]
)
def test_a_mirror_that_fails_is_left_for_the_next(
    server: Server, tmp_path: Path, fault: str
) -> None:
    fetch(server, tmp_path / "file", fault, "good")
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert ("good" in [asked for asked, _ in server.asked]) == (fault != "no-range")


def test_a_cut_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "file", "cut")
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.asked == [("cut", start) for start in range(0, len(PAYLOAD), CUT)]
    assert server.sent == len(PAYLOAD)


def test_another_mirror_continues_what_one_began(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "file", "stall", "good")
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.asked[0] == ("stall", 0)
    assert server.asked[-1][0] == "good"
    assert server.asked[-1][1] >= len(PAYLOAD) // 2


@pytest.mark.parametrize("fault", ["no-range", "good", "other-range"])
def test_a_part_from_an_earlier_call_is_continued(
    server: Server, tmp_path: Path, fault: str
) -> None:
    part_of(tmp_path / "file").write_bytes(PAYLOAD[:CUT])
    fetch(server, tmp_path / "file", fault, "good")
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.asked[0] == (fault, CUT)
    assert len(server.asked) == (2 if fault == "other-range" else 1)
    assert server.sent <= len(PAYLOAD) + (0 if fault != "other-range" else len(PAYLOAD) - CUT)


@pytest.mark.parametrize("size", [CUT, len(PAYLOAD), len(PAYLOAD) + 1])
def test_a_part_with_wrong_bytes_does_not_spoil_the_only_good_mirror(
    server: Server, tmp_path: Path, size: int
) -> None:
    part_of(tmp_path / "file").write_bytes(bytes(size))
    fetch(server, tmp_path / "file", "good")
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.asked[-1] == ("good", 0)


def test_the_last_mirror_may_be_slow(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "file", "404", "slow")
    assert (tmp_path / "file").read_bytes() == PAYLOAD


def test_when_all_fail_the_error_lists_every_mirror_with_its_reason(
    server: Server, tmp_path: Path
) -> None:
    faults = {
        "404": "HTTP Error 404: Not Found",
        "wrong": "wrong bytes",
        "html": "serves 25 bytes, expected 1,000,000",
        "slow": "too slow",
        "stall": "timed out",
    }
    with pytest.raises(DownloadError) as caught:
        fetch(server, tmp_path / "file", *faults)
    lines = str(caught.value).splitlines()
    assert lines[0] == "file: no mirror served it; tried:"
    for line, (fault, reason) in zip(lines[1:-1], list(faults.items())[:-1], strict=True):
        assert line.startswith(f"  {server.url(fault)}: {reason}")
    assert faults["stall"] in lines[-1]
    assert not (tmp_path / "file").exists()


def test_a_refused_connection_is_one_of_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:1/x: .*refused"):
        download(["http://127.0.0.1:1/x"], tmp_path / "file", PAYLOAD_SUM, timeout_s=5)


def test_a_file_that_is_there_and_right_is_not_fetched_again(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(PAYLOAD)
    fetch(server, tmp_path / "file", "good")
    assert server.asked == []


def test_progress_is_ten_lines_without_a_terminal_and_a_bar_on_one(
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    fetch(server, tmp_path / "plain", "good")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == f"downloading {server.url('good')}"
    assert 10 <= err.count(" of 1.0 MB\n") <= 11
    monkeypatch.setenv("FORCE_COLOR", "1")
    fetch(server, tmp_path / "bar", "good")
    out, err = capsys.readouterr()
    assert out == ""
    assert " of 1.0 MB\n" not in err
    assert "━" in err


PROCESS = f"""
import sys
from pathlib import Path
from degradation.data.archives import Sum, locked
from degradation.data.download import download
folder = Path(sys.argv[1])
with locked(folder / "lock"):
    download([sys.argv[2]], folder / "file", Sum{tuple(PAYLOAD_SUM)!r}, timeout_s=60)
"""


def start(server: Server, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROCESS, str(folder), server.url("gate")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_download_once(server: Server, tmp_path: Path) -> None:
    with start(server, tmp_path) as first:
        assert server.waiting.wait(60)
        with start(server, tmp_path) as second:
            assert second.stderr is not None
            assert "waiting for another process" in second.stderr.readline()
            server.release.set()
            second.communicate()
        first.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.asked == [("gate", 0)]


def test_after_a_killed_process_the_next_goes_on_from_its_part(
    server: Server, tmp_path: Path
) -> None:
    with start(server, tmp_path) as first:
        part = part_of(tmp_path / "file")
        wait_for(lambda: part.exists() and part.stat().st_size > 0, first)
        first.kill()
    server.release.set()
    with start(server, tmp_path) as second:
        _, err = second.communicate()
    assert second.returncode == 0, err
    assert server.asked[1][1] > 0
    assert (tmp_path / "file").read_bytes() == PAYLOAD
