"""`make missing` and `make evidence`: each run published as it ends, and picked up from there."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.helpers import descendants, read_json, same_run, snapshot
from tests.small_study import environment, make_checkout

from degradation import cli
from degradation.config import ConfigError
from degradation.studies import evidence

RUNS = ["plain-8-s0", "plain-8-s1", "residual-8-s0", "residual-8-s1"]
STUDY = Path("small_shapes", "quick")
RECORD = {"config.yaml", "metrics.jsonl", "summary.json", "environment.json"}


def make(checkout: Path, target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", target, "EXPERIMENT=small_shapes", *arguments],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=False,
    )


def published(checkout: Path) -> list[str]:
    return sorted(path.name for path in (checkout / "results" / STUDY / "runs").glob("*"))


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the whole study has been made in one go."""
    checkout = make_checkout(tmp_path_factory.mktemp("complete"))
    done = make(checkout, "evidence")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 runs, 4 to do" in done.stdout
    return checkout


def test_every_run_is_published_and_reported(complete: Path) -> None:
    assert published(complete) == RUNS
    for name in RUNS:
        copy = snapshot(complete / "results" / STUDY / "runs" / name)
        assert set(copy) == RECORD
        assert copy.items() <= snapshot(complete / "outputs" / STUDY / "runs" / name).items()
    verdict = read_json(complete / "results" / STUDY / "verdict.json")
    assert verdict["seeds"] == {"plain-8": [0, 1], "residual-8": [0, 1]}
    assert "small_shapes/quick" in (complete / "results" / "REPORT.md").read_text()
    told = make(complete, "missing").stdout
    assert told == "small_shapes, preset quick: 4 runs, 0 not in results/small_shapes/quick\n"


def test_goes_on_from_what_is_published(complete: Path, tmp_path: Path) -> None:
    """In a fresh checkout: the records are all there is, and they are left as they are."""
    checkout = make_checkout(tmp_path)
    for name in RUNS[1:3]:
        source = complete / "results" / STUDY / "runs" / name
        shutil.copytree(source, checkout / "results" / STUDY / "runs" / name)
    before = snapshot(checkout / "results")
    told = make(checkout, "missing", "SEEDS=0 1").stdout.splitlines()
    assert told == [
        "small_shapes, preset quick: 4 runs, 2 not in results/small_shapes/quick",
        "  plain-8-s0           not begun",
        "  residual-8-s1        not begun",
        "go on with: make evidence EXPERIMENT=small_shapes PRESET=quick SEEDS=0,1",
    ]
    done = make(checkout, "evidence")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 runs, 2 to do" in done.stdout
    assert published(checkout) == RUNS
    assert before.items() <= snapshot(checkout / "results").items()
    for name in (RUNS[0], RUNS[3]):
        same_run(*(root / "outputs" / STUDY / "runs" / name for root in (checkout, complete)))


def test_overrides_choose_the_arms_and_how_they_are_made(complete: Path, tmp_path: Path) -> None:
    """The rest is still to be run; the numbers are those of the whole study."""
    checkout, name = make_checkout(tmp_path), "plain-8-s0"
    asked = ("model.kind=plain", "hardware.batch_norm_kernels=native")
    done = subprocess.run(
        [
            ".venv/bin/python",
            "scripts/evidence.py",
            "--experiment=small_shapes",
            "--seeds=0",
            *asked,
        ],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert published(checkout) == [name]
    ours, theirs = (root / "results" / STUDY / "runs" / name for root in (checkout, complete))
    assert "batch_norm_kernels: native" in (ours / "config.yaml").read_text()
    assert read_json(ours / "summary.json")["last"] == read_json(theirs / "summary.json")["last"]
    assert "4 runs, 3 not in" in make(checkout, "missing").stdout


def test_a_damaged_run_of_another_seed_keeps_none_from_being_made(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    other = checkout / "outputs" / STUDY / "runs" / "plain-8-s7"
    other.mkdir(parents=True)
    for name in ("config.yaml", "summary.json"):
        (other / name).write_text("{")
    done = make(checkout, "evidence", "SEEDS=0")
    assert published(checkout) == [name for name in RUNS if name.endswith("-s0")]
    assert done.returncode == 0  # it was not asked for
    assert "  plain-8-s7           damaged" in make(checkout, "missing", "SEEDS=0,7").stdout
    assert f"error: {other.relative_to(checkout)}/summary.json: " in done.stderr


def test_what_was_published_with_another_config_is_refused_before_it_is_copied(
    complete: Path, tmp_path: Path
) -> None:
    checkout = make_checkout(tmp_path)
    shutil.copytree(complete / "results" / STUDY / "runs", checkout / "results" / STUDY / "runs")
    asked = checkout / "conf" / "experiment" / "small_shapes.yaml"
    asked.write_text(asked.read_text() + "\noptim: {lr: 0.07}\n")
    done = make(checkout, "evidence")
    assert done.returncode
    assert "runs/plain-8-s0: holds a run of another config (now / there): optim.lr: " in done.stderr
    assert not list((checkout / "outputs" / STUDY).glob("runs/*"))


@pytest.mark.parametrize(
    "override", ["optim.lr=0.01", "preset=paper", "experiment=small", "model.depth=14"]
)
def test_what_is_no_run_of_the_study_does_not_become_evidence(
    override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_checkout(tmp_path))
    monkeypatch.setattr(cli, "conf_dir", lambda: tmp_path / "conf")
    assert len(evidence.plan_of("small_shapes", "quick", "0", ["model.kind=plain"])) == 1
    with pytest.raises(ConfigError, match="is no run of small_shapes at quick; accepted: what"):
        evidence.plan_of("small_shapes", "quick", "0", [override])


@pytest.mark.slow
def test_killed_in_the_middle_it_has_published_what_had_ended(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path, iterations=400)
    process = subprocess.Popen(
        ["make", "evidence", "EXPERIMENT=small_shapes"],
        cwd=checkout,
        env=environment(checkout),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not published(checkout) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for pid in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=60)
    ended = published(checkout)
    assert ended
    before = snapshot(checkout / "results" / STUDY / "runs")
    done = make(checkout, "evidence")
    assert done.returncode == 0, done.stderr
    assert published(checkout) == RUNS
    assert before.items() <= snapshot(checkout / "results" / STUDY / "runs").items()


def test_no_such_preset_or_study_is_one_line(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    for target in ("missing", "evidence"):
        done = make(checkout, target, "PRESET=paper")
        assert done.returncode != 0
        assert done.stderr.splitlines()[0].startswith("error: ")
        assert "Traceback" not in done.stderr
    assert not (checkout / "results").exists()
