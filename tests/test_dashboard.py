"""`make dashboard`: what `wandb leet` is shown, and in a real terminal what it shows."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from tests.test_tracking import ROWS, arguments, config, history, no_account, read_wandb

from degradation import cli, dashboard, tracking, uploads

__all__ = ["no_account"]  # a fixture: no W&B account, and an empty folder

ROOT = Path(__file__).parents[1]
STUDY = Path("outputs/degradation/quick")


def make_copy(seed: int) -> None:
    with tracking.mirror(config(seed), **arguments(STUDY, seed)) as copy:
        for row in ROWS:
            copy.log(row)


def test_runs_go_by_their_names_and_new_ones_come_too(tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    make_copy(0)
    dashboard.link(STUDY, folder)
    make_copy(1)
    make_copy(0)  # continued: its older files are gone
    uploads.write(STUDY, "degradation-quick-plain-56-s2-0a1b2c3d", uploads.Note("agent123", "", 1))
    agents = STUDY / "wandb" / "run-20260101_000000-agent123"
    agents.mkdir()
    (agents / "run-agent123.wandb").write_bytes(b"")
    dashboard.link(STUDY, folder)
    names = ["plain-56-s0", "plain-56-s1", "plain-56-s2"]
    shown = [folder / f"run-00000000_000000-{name}" / f"run-{name}.wandb" for name in names]
    assert sorted(folder.glob("*/*")) == shown
    assert [history(read_wandb(path)) for path in shown[:2]] == [ROWS, ROWS]


def test_a_study_without_files_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.guard(lambda: dashboard.show(STUDY)) == 2
    assert capsys.readouterr().err.startswith(f"error: {STUDY}/wandb: no W&B files; ")


@pytest.mark.slow
def test_leet_shows_the_runs_and_their_curves(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_copy(seed)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 150, 0, 0))
    command = [sys.executable, str(ROOT / "scripts" / "dashboard.py"), "--experiment=degradation"]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    screen, deadline = b"", time.monotonic() + 120
    wanted = (b"-plain-56-s0", b'"error_pct" [1/7')  # the one of seven charts that it opens on
    try:
        while any(text not in screen for text in wanted):
            assert time.monotonic() < deadline, screen
            if select.select([ours], [], [], 1.0)[0]:
                screen += os.read(ours, 65536)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
