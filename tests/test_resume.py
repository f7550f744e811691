"""Runs stopped, killed and continued by real processes: bit for bit the run that was left alone."""

import shutil
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from tests.helpers import (
    TINY,
    call,
    command,
    iterations,
    lines_of,
    make_config,
    only_run,
    read_json,
    read_lines,
    same_run,
    start,
    wait_for,
    without_times,
)

from degradation.optim import learning_rate

RUN = ("data=shapes", "tracking=off", *TINY)
LONG = (
    *RUN,
    "schedule.iterations=600",
    "schedule.milestones=[400]",
    "trainer.checkpoint_every=40",
    "trainer.record_every=10",
    "trainer.eval_every=50",
)
"""Long enough to be caught in its middle; batches of 48 of 256 images, augmented."""


NEWEST_FIRST = ("checkpoint.new.pt", "checkpoint.pt")


def has_passed(folder: Path, iteration: int) -> bool:
    return max(iterations(folder).values(), default=0) >= iteration


def obey_ctrl_c() -> None:
    """A shell starts what runs in its background deaf to Ctrl-C, and so would these tests be."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Interrupted:
    run_dir: Path
    statuses: list[int]
    errors: list[str]
    reached: list[int]
    """The last iteration in the record after each interruption."""
    saved: list[int]
    """The checkpoint's iteration after each."""
    second_process: tuple[int, str]


def saved_at(run_dir: Path) -> int:
    """Of the newest, which has not its name yet if a kill came before that."""
    newest = next(run_dir / name for name in NEWEST_FIRST if (run_dir / name).exists())
    content = torch.load(newest, weights_only=True)
    return int(content["progress"]["iteration"])


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    """The same command four times: stopped by Ctrl-C and SIGTERM, killed, and run to its end."""
    folder = tmp_path_factory.mktemp("interrupted")
    found = Interrupted(folder, [], [], [], [], (0, ""))

    def run_dir() -> Path:
        runs = list(folder.glob("outputs/*/*/runs/*"))
        return runs[0] if runs else folder

    for passed, way in ((60, signal.SIGINT), (130, signal.SIGTERM), (280, signal.SIGKILL)):
        process = start(LONG, folder, preexec_fn=obey_ctrl_c)
        wait_for(partial(has_passed, folder, passed), process)
        if way == signal.SIGKILL:
            process.send_signal(signal.SIGSTOP)  # or it ends before the second one has started
            second = command(LONG, folder)
            found.second_process = (second[0], second[2])
        process.send_signal(way)
        _, err = process.communicate(timeout=60)
        found.statuses.append(process.returncode)
        found.errors.append(err)
        found.reached.append(read_lines(run_dir() / "metrics.jsonl")[-1]["iteration"])
        found.saved.append(saved_at(run_dir()))
    found.run_dir = run_dir()
    assert not (found.run_dir / "summary.json").exists()
    with (found.run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 590, "epoch": 1')
    status, _, err = command(LONG, folder)
    found.statuses.append(status)
    found.errors.append(err)
    return found


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without an interruption."""
    folder = tmp_path_factory.mktemp("through")
    assert call(*LONG, f"output_root={folder}") == 0
    return only_run(folder)


def test_continued_run_is_the_uninterrupted_run(interrupted: Interrupted, through: Path) -> None:
    assert interrupted.statuses == [130, 143, -signal.SIGKILL, 0]
    words = [f"{word}; the same command continues\n" for word in ("interrupted", "terminated")]
    assert interrupted.errors == [*words, "", ""]
    assert 60 <= interrupted.reached[0] < interrupted.reached[1] < interrupted.reached[2] < 600
    same_run(interrupted.run_dir, through)
    one, other = (read_json(path / "summary.json") for path in (interrupted.run_dir, through))
    assert without_times([one]) == without_times([other])


def test_a_signal_loses_no_step_and_a_kill_those_since_the_checkpoint(
    interrupted: Interrupted,
) -> None:
    """Rows are written every 10 steps, checkpoints every 40."""
    for number in (0, 1):
        assert 0 <= interrupted.saved[number] - interrupted.reached[number] <= 10
    assert interrupted.saved[2] % 40 == 0


def test_times_go_on_where_they_were(interrupted: Interrupted) -> None:
    walls = [row["wall_s"] for row in read_lines(interrupted.run_dir / "metrics.jsonl")]
    assert len(walls) == 60
    assert walls == sorted(walls)


def test_second_process_in_a_run_directory_is_refused(interrupted: Interrupted) -> None:
    status, err = interrupted.second_process
    place = interrupted.run_dir.relative_to(interrupted.run_dir.parents[4])
    assert status == 2
    assert err == f"error: {place}: another process is at work on this run\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run that has ended."""
    folder = tmp_path_factory.mktemp("finished")
    assert call(*RUN, f"output_root={folder}/outputs") == 0
    return folder


def test_killed_between_the_last_checkpoint_and_the_summary(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_dir = only_run(tmp_path / "outputs")
    (run_dir / "summary.json").unlink()
    assert call(*RUN) == 0
    same_run(run_dir, only_run(finished / "outputs"))
    assert read_json(run_dir / "summary.json") == read_json(
        only_run(finished / "outputs") / "summary.json"
    )


def test_a_diverged_run_killed_before_its_summary_does_not_train_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lost = [*RUN, "optim.lr=1e9", "schedule.warmup=none", "trainer.checkpoint_every=5"]
    assert call(*lost) == 0
    run_dir = only_run(tmp_path / "outputs")
    lines, summary = lines_of(run_dir), read_json(run_dir / "summary.json")
    assert summary["status"] == "diverged"
    assert summary["iteration"] < 20
    (run_dir / "summary.json").unlink()
    assert call(*lost) == 0
    assert lines_of(run_dir) == lines
    assert read_json(run_dir / "summary.json") | {"wall_s": summary["wall_s"]} == summary


def test_killed_before_the_first_checkpoint(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_dir = only_run(tmp_path / "outputs")
    for name in ("summary.json", "checkpoint.pt"):
        (run_dir / name).unlink()
    assert call(*RUN) == 0
    same_run(run_dir, only_run(finished / "outputs"))


def test_recorded_rate_is_the_rule(through: Path) -> None:
    cfg = make_config(*LONG[2:])
    for row in read_lines(through / "metrics.jsonl"):
        assert row["lr"] == learning_rate(int(row["iteration"]) - 1, 0.1, 8, cfg.schedule)


def test_the_checkpoint_before_is_used_where_the_last_is_damaged(
    through: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Stopped at 300 of 600; of the checkpoints at 280 and of that step the newer one is cut."""
    monkeypatch.chdir(tmp_path)
    process = start(LONG, tmp_path)
    wait_for(partial(has_passed, tmp_path, 300), process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    run_dir = only_run(tmp_path / "outputs")
    newest, before = run_dir / "checkpoint.pt", run_dir / "checkpoint.previous.pt"
    iteration = torch.load(before, weights_only=True)["progress"]["iteration"]
    newest.write_bytes(newest.read_bytes()[:-1_000])
    assert call(*LONG) == 0
    warning = capfd.readouterr().err
    place = newest.relative_to(tmp_path)
    assert warning.startswith(f"warning: {place}: cut short or altered")
    assert warning.endswith(f"going on from {before.name}, iteration {iteration}\n")
    same_run(run_dir, through)
    assert not before.exists()  # of no use to a finished run
