"""`make dashboard`: what `wandb leet` is shown, and in a real terminal what it shows."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.tracking.test_mirror import ROWS, arguments, config, history, no_account, read_wandb

from degradation import cli
from degradation.tracking import dashboard, mirror, uploads

__all__ = ["no_account"]  # a fixture: no W&B account, and an empty folder

ROOT = Path(__file__).parents[2]
STUDY = Path("outputs/degradation/quick")


def make_copy(seed: int, kind: str = "plain") -> None:
    cfg = config(seed)
    cfg.model.kind = kind
    names = {"run_name": f"{kind}-56-s{seed}", "arm": f"{kind}-56"}
    with mirror.of_run(cfg, **arguments(STUDY, seed) | names) as copy:
        for row in ROWS:
            copy.log(row)
        copy.log({"iteration": 40, "eval/train_subset_error_pct": 80.0})


def test_runs_go_by_their_names_and_new_ones_come_too(tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    make_copy(0)
    dashboard.link(STUDY, folder, 200)
    make_copy(1)
    make_copy(0)  # continued: its older files are gone
    uploads.write(STUDY, "degradation-quick-plain-56-s2-0a1b2c3d", uploads.Note("agent123", "", 1))
    agents = STUDY / "wandb" / "run-20260101_000000-agent123"
    agents.mkdir()
    (agents / "run-agent123.wandb").write_bytes(b"")
    dashboard.link(STUDY, folder, 200)
    shown = [
        folder / f"run-000{seed}0000_000056-plain-56-s{seed}" / f"run-plain-56-s{seed}.wandb"
        for seed in range(3)
    ]
    assert sorted(folder.glob("*/*")) == shown
    for path in shown[:2]:
        *rows, last = history(read_wandb(path))
        assert rows == ROWS
        assert last["train_error_pct/plain"] == 80.0
        charts = {key for row in [*rows, last] for key in row if re.search(dashboard.CHARTS, key)}
        assert charts == {"train_error_pct/plain"}  # and not the record's `train/error_pct`


def lists(folder: Path, names: Sequence[str], columns: int) -> dict[str, str]:
    """What leet lists of runs with such names, as it sorts it."""
    for number, name in enumerate(names):
        run = f"20260101_00000{number}-degradation-quick-{name}-{number:08}"
        place = STUDY / "wandb" / f"offline-run-{run}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"run-{run[16:]}.wandb").touch()
    folder.mkdir(exist_ok=True)
    linked = dashboard.link(STUDY, folder, columns)
    assert sorted(path.name for path in folder.iterdir()) == sorted(linked)
    return {place: linked[place] for place in sorted(linked)}


def test_the_first_seed_of_all_arms_is_first_by_kind_and_depth(tmp_path: Path) -> None:
    names = ["residual-18-s0", "plain-110-s0", "plain-18-s1", "plain-18-s0", "plain-8-s1"]
    shown = lists(tmp_path / "links", names, 200)
    assert [name.split("-", 2)[2] for name in shown] == [
        *("plain-18-s0", "plain-110-s0", "residual-18-s0", "plain-8-s1", "plain-18-s1")
    ]
    # leet has selected the first; then each arm's first, and no other
    assert dashboard.keys(shown) == "s s s "
    for name in shown:
        with pytest.raises(ValueError, match=r"does not match"):
            time.strptime(name.split("-")[1], "%Y%m%d_%H%M%S")  # or leet would sort by it


def test_long_names_lose_their_middles_where_they_stay_different(tmp_path: Path) -> None:
    middle = "activationprelu-batch_normfalse"
    names = [f"plain-8-{middle}-lr{rate}-s{seed}" for rate in ("0.1", "0.2") for seed in (0, 1)]
    shown = [name.split("-", 2)[2] for name in lists(tmp_path / "links", names, 120)]
    assert shown == [f"plain-8-a…e-lr{rate}-s{seed}" for seed in (0, 1) for rate in ("0.1", "0.2")]


def test_names_that_differ_in_the_middle_keep_it(tmp_path: Path) -> None:
    names = [f"plain-8-activation{name}-batch_normfalse-lr0.1-s0" for name in ("linear", "prelu")]
    shown = [name.split("-", 2)[2] for name in lists(tmp_path / "links", names, 80)]
    assert shown == names


def test_names_that_collide_later_are_listed_once(tmp_path: Path) -> None:
    names = [f"plain-8-activation{name}-batch_normfalse-lr0.1-s0" for name in ("linear", "prelu")]
    (alone,) = lists(tmp_path / "links", names[:1], 80)
    assert "…" in alone
    assert list(lists(tmp_path / "links", names, 80).values()) == names


def test_a_seed_is_no_arm_where_its_name_is_cut_elsewhere(tmp_path: Path) -> None:
    names = [f"plain-110-iterations200-width4-s{seed}" for seed in (0, 10)]
    linked = lists(tmp_path / "links", names, 100)
    arms = {place.split("-", 2)[2].rpartition("-s")[0] for place in linked}
    assert len(arms) == 2  # a digit more of the seed is one less of the arm
    assert dashboard.keys(linked) == ""


def test_ids_that_are_cut_keep_what_tells_them_apart() -> None:
    for seed in (0, 1):
        name = f"plain-56-{'x' * 150}-s{seed}"
        given = arguments(STUDY, seed) | {"run_name": name, "config_hash": f"{seed:08}"}
        with mirror.of_run(config(seed), **given) as copy:
            copy.log(ROWS[0])
    assert len(dashboard.files(STUDY)) == 2


def test_a_study_without_files_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.guard(lambda: dashboard.show(STUDY)) == 2
    assert capsys.readouterr().err.startswith(f"error: {STUDY}/wandb: no W&B files; ")


def test_without_a_terminal_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    make_copy(0)
    assert cli.guard(lambda: dashboard.show(STUDY)) == 2
    assert capsys.readouterr().err == "error: dashboard: needs a terminal\n"


@pytest.mark.slow
def test_leet_opens_on_the_curves_of_all_arms(tmp_path: Path) -> None:
    study = Path("outputs/depth_sweep/quick")
    for kind in ("plain", "residual"):
        make_copy(0, kind)
        make_copy(1, kind)
    study.parent.mkdir()
    STUDY.rename(study)
    own = tmp_path / ".config" / "wandb" / "wandb-leet.json"
    own.parent.mkdir(parents=True)
    own.write_text('{"color_scheme": "viridis"}')
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 150, 0, 0))
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "dashboard.py")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    screen, deadline = b"", time.monotonic() + 120
    wanted = [f"train_error_pct/{kind}".encode() for kind in ("plain", "residual")]
    try:
        while any(text not in screen for text in wanted):
            assert time.monotonic() < deadline, screen
            if select.select([ours], [], [], 1.0)[0]:
                screen += os.read(ours, 65536)
        os.write(ours, b"q")
        while process.poll() is None:
            if select.select([ours], [], [], 0.1)[0]:
                os.read(ours, 65536)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
    assert process.returncode == 0
    assert own.read_text() == '{"color_scheme": "viridis"}'
