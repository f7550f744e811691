"""`scripts/report.py` as the Makefile calls it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.analysis.synthetic import write_study

ROOT = Path(__file__).parents[2]


def report(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "report.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("root", ["outputs", "results"])
def test_a_study_is_reported_where_it_lies(tmp_path: Path, root: str) -> None:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    study = write_study(tmp_path / root / "depth_sweep" / "quick", 2, {("plain", 18): 56.0})
    done = report(tmp_path, "--experiment", "depth_sweep", "--preset", "quick")
    assert (done.returncode, done.stderr) == (0, "")
    assert "plain-degrades-18-56" in done.stdout
    assert f"{root}/depth_sweep/quick/curves.png" in done.stdout
    assert (study / "REPORT.md").exists()
    assert (tmp_path / "results" / "REPORT.md").exists() == (root == "results")


def test_a_missing_study_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = report(tmp_path, "--experiment", "nothing")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "results/nothing/quick: no runs here" in done.stderr
