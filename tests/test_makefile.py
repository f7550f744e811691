"""`make`: what it lists, and that it asks for nothing twice."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.small_study import ROOT, environment, make_checkout

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def make(checkout: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=environment(checkout, **extra),
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_the_targets(tmp_path: Path) -> None:
    done = make(make_checkout(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert {
        *("setup", "reproduce", "test", "lint", "report", "bench", "dashboard", "clean")
    } <= listed


def test_a_finished_setup_does_nothing_and_a_touched_lock_makes_it_anew(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    assert make(checkout, "setup", "-n").stdout.count("\n") == 1  # nothing to be done
    (checkout / ".venv" / "bin" / ".locked").unlink()
    anew = make(checkout, "setup", "-n").stdout
    assert "-m venv .venv" in anew
    assert "--require-hashes" in anew


def test_nothing_to_check_is_one_line(tmp_path: Path) -> None:
    done = make(make_checkout(tmp_path), "check-claims")
    assert done.returncode == 2
    assert done.stderr.startswith("error: RUNS: empty; accepted: a folder of runs or a CSV")


def test_no_python_is_one_line(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "make", "rm", "touch", "sed"):
        (tools / name).symlink_to(shutil.which(name) or name)
    (checkout / ".venv" / "bin" / ".locked").unlink()
    done = make(checkout, "setup", PATH=str(tools))
    assert done.returncode == 2
    assert done.stdout + done.stderr.split("make:")[0] == (
        "error: no Python 3.11, 3.12 or 3.13 found; name one with PYTHON=...\n"
    )


@pytest.mark.parametrize("name", ["preset", "seeds", "data_root"])
def test_a_variable_in_lower_case_is_refused(tmp_path: Path, name: str) -> None:
    done = make(make_checkout(tmp_path), "missing", f"{name}=paper")
    assert done.returncode == 2
    assert f"{name}=paper: no such variable; accepted: EXPERIMENT, PRESET" in done.stderr
    assert make(tmp_path, "help", **{name: "paper"}).returncode == 0  # the environment's is no harm


def test_gpu_makes_every_study_of_the_papers_length(tmp_path: Path) -> None:
    told = make(make_checkout(tmp_path), "gpu", "--dry-run").stdout
    loops = re.findall(r"for experiment in ([\w ]+);", told)
    studies = {
        path.parent.name
        for path in (ROOT / "experiments").glob("*/claims.yaml")
        if re.search(r"presets: .*paper", path.read_text())
    }
    assert sorted(" ".join(loops).split()) == sorted(studies)
    assert told.index("lr_choice") < told.index("scripts/rates.py") < told.index("lr_fair")


def test_the_lock_names_no_index() -> None:
    lock = Path(__file__).parents[1] / "requirements.lock"
    assert "--hash=sha256:" in lock.read_text()
    assert "://" not in "".join(
        line for line in lock.read_text().splitlines() if not line.startswith("#")
    )


@pytest.mark.parametrize("value", ["a b", "a,b=c", "it's", 'say "a"', "a;b&c", "$$HOME"])
def test_values_reach_the_command_as_they_are(tmp_path: Path, value: str) -> None:
    checkout = make_checkout(tmp_path)
    seen = checkout / ".venv" / "bin" / "python"
    seen.write_text('#!/bin/sh\nfor argument; do echo "$argument"; done\n')
    done = make(checkout, "reproduce", f"DATA_ROOT={value}", "SEEDS=-1")
    told = done.stdout.splitlines()
    assert f"--data-root={value.replace('$$', '$')}" in told
    assert "--seeds=-1" in told
    asked = ("-e", "missing", f"PRESET={value}")  # as in a sub-make whose parent had another
    told = make(checkout, *asked, STUDY_PRESET="quick").stdout.splitlines()
    assert f"--preset={value.replace('$$', '$')}" in told
