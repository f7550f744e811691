"""`scripts/publish.py` as the Makefile calls it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.analysis.synthetic import write_run, write_study
from tests.helpers import snapshot

ROOT = Path(__file__).parents[2]
STUDY = Path("depth_sweep", "quick")
RECORD = {"config.yaml", "metrics.jsonl", "summary.json", "environment.json"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    return tmp_path


def publish(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "publish.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_records_of_ended_runs_and_nothing_else(checkout: Path) -> None:
    source, target = checkout / "outputs" / STUDY, checkout / "results" / STUDY
    write_study(source, 2, {("plain", 18): 56.0, ("residual", 18): 47.0})
    for name in ("checkpoint.pt", ".lock"):
        (source / "runs" / "plain-18-s0" / name).write_bytes(b"weights")
    (source / "wandb").mkdir()
    (source / "runs" / "residual-18-s1" / "summary.json").unlink()  # not ended
    done = publish(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "published 3 runs to results/depth_sweep/quick: plain-18-s0, plain-18-s1, residual-18-s0\n"
    )
    assert {path.name for path in (target / "runs").iterdir()} == {
        *("plain-18-s0", "plain-18-s1", "residual-18-s0")
    }
    for run_dir in (target / "runs").iterdir():
        ours, theirs = snapshot(run_dir), snapshot(source / "runs" / run_dir.name)
        assert set(ours) == RECORD
        assert ours.items() <= theirs.items()
    assert {path.name for path in target.iterdir()} == {
        *("runs", "REPORT.md", "report.html", "verdict.json", "table.csv"),
        *(f"{stem}{theme}.{form}" for stem in ("curves", "final_error")
          for theme in ("", ".dark") for form in ("png", "svg")),
    }  # fmt: skip
    assert "depth_sweep/quick" in (checkout / "results" / "REPORT.md").read_text()


def test_what_is_published_stays(checkout: Path) -> None:
    source, target = checkout / "outputs" / STUDY, checkout / "results" / STUDY
    write_run(source, "plain", 18, 0, 56.0)
    write_run(target, "plain", 18, 0, 12.0)
    write_run(source, "plain", 18, 1, 56.0)
    before = snapshot(target / "runs" / "plain-18-s0")
    done = publish(checkout)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "published 1 runs to results/depth_sweep/quick: plain-18-s1",
        "left as published, though outputs/depth_sweep/quick has other records: plain-18-s0",
    ]
    assert snapshot(target / "runs" / "plain-18-s0") == before
    again = publish(checkout)
    assert "published 0 runs" in again.stdout
    assert "plain-18-s1" not in again.stdout


def test_runs_that_are_no_arms_of_the_study_are_left_out(checkout: Path) -> None:
    source, target = checkout / "outputs" / STUDY, checkout / "results" / STUDY
    write_run(source, "plain", 18, 0, 56.0)
    write_run(source, "plain", 8, 0, 66.0)
    done = publish(checkout)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "left out, no arms of depth_sweep: plain-8",
        "published 1 runs to results/depth_sweep/quick: plain-18-s0",
    ]
    assert [path.name for path in (target / "runs").iterdir()] == ["plain-18-s0"]


def test_nothing_to_publish_is_one_line_and_status_2(checkout: Path) -> None:
    done = publish(checkout, "--experiment", "nothing")
    assert done.returncode == 2
    assert done.stderr == "error: outputs/nothing/quick: no ended runs here\n"
    assert not (checkout / "results").exists()


def test_a_damaged_run_keeps_no_other_from_being_published(checkout: Path) -> None:
    source, target = checkout / "outputs" / STUDY, checkout / "results" / STUDY
    for seed in (0, 1):
        write_run(source, "plain", 18, seed, 56.0)
    (source / "runs" / "plain-18-s0" / "summary.json").write_text("{")
    done = publish(checkout)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: outputs/depth_sweep/quick/runs/plain-18-s0/summary.json:")
    assert [path.name for path in (target / "runs").iterdir()] == ["plain-18-s1"]
    assert (target / "REPORT.md").exists()


def test_a_record_that_lacks_a_file_is_not_published_in_part(checkout: Path) -> None:
    source, target = checkout / "outputs" / STUDY, checkout / "results" / STUDY
    (write_run(source, "plain", 18, 0, 56.0) / "environment.json").unlink()
    done = publish(checkout)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "environment.json" in done.stderr
    assert not list(target.glob("runs/*"))
