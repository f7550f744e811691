"""`scripts/mirror.py` as the Makefile calls it: W&B's offline files read back."""

import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from tests.helpers import TINY, command, read_lines
from tests.torture.faults import NotHere, small_disk
from tests.tracking.test_mirror import config_in, history, read_wandb, without_kinds

ROOT = Path(__file__).parents[2]


def mirror(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(ROOT / "scripts" / "mirror.py"), *arguments]
    return subprocess.run(script, cwd=folder, capture_output=True, text=True, check=False)


def copies(study: Path, run: str) -> list[Path]:
    """W&B's files of a run, which differs from the others in its seed."""
    seed, paths = int(run.rpartition("-s")[2]), study.glob("wandb/offline-run-*/*.wandb")
    return [path for path in paths if config_in(read_wandb(path))["seed"] == seed]


def test_what_wandb_lost_is_back_and_nothing_is_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no account
    sweep = ("-m", "data=shapes", "tracking=offline", *TINY, "seed=0,1,2")
    assert command(sweep, tmp_path)[0] == 0
    study = tmp_path / "outputs" / "adhoc" / "quick"
    cut, lost, whole = sorted(study.glob("runs/*"))
    [cut_file], [lost_file] = copies(study, cut.name), copies(study, lost.name)
    cut_file.write_bytes(cut_file.read_bytes()[:2_000])
    shutil.rmtree(lost_file.parent)
    (whole / "summary.json").unlink()  # not ended, and at work
    with filelock.FileLock(whole / ".lock"):
        done = mirror(tmp_path, "--experiment=adhoc")
    assert (done.returncode, done.stderr) == (1, "")  # not all, as it says
    assert f"runs/{whole.name}: another process is at work on this run" in done.stdout
    assert done.stdout.endswith("2 of 3 runs in outputs/adhoc/quick/wandb\n")
    for run_dir in (cut, lost, whole):
        (file,) = copies(study, run_dir.name)
        assert without_kinds(history(read_wandb(file))) == read_lines(run_dir / "metrics.jsonl")


@pytest.mark.slow
def test_a_copy_that_a_full_disk_cuts_does_not_take_the_place_of_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a damaged record keeps none of the others from its copy."""
    monkeypatch.setenv("HOME", str(tmp_path))  # no account
    rows = ("schedule.iterations=600", "trainer.record_every=1", "trainer.eval_every=0")
    sweep = ("-m", "data=shapes", "tracking=offline", *TINY, *rows, "seed=0,1")
    assert command(sweep, tmp_path)[0] == 0
    study = tmp_path / "outputs" / "adhoc" / "quick"
    wandb, kept = study / "wandb", tmp_path / "kept"
    wandb.rename(kept)
    before = {path.relative_to(kept): path.read_bytes() for path in kept.glob("*/*.wandb")}
    size = min(map(len, before.values()))
    assert size > 100_000
    try:
        with small_disk(wandb, sum(map(len, before.values())) // 1024 + size // 2048):
            shutil.copytree(kept, wandb, dirs_exist_ok=True)
            done = mirror(tmp_path, "--experiment=adhoc")
            assert (
                before.items()
                <= {
                    path.relative_to(wandb): path.read_bytes() for path in wandb.glob("*/*.wandb")
                }.items()
            )
    except NotHere as why:
        pytest.skip(str(why))
    assert done.returncode != 0
    stays, *more = done.stderr.splitlines()
    assert stays.startswith("W&B's files lack rows, as on a full disk; the older ones stay: ")
    assert len(more) == 1  # there may be room for some of the second one, or for none

    shutil.copytree(kept, wandb, dirs_exist_ok=True)
    damaged, whole = sorted(study.glob("runs/*"))
    (damaged / "metrics.jsonl").write_text("no line of a record\n")
    done = mirror(tmp_path, "--experiment=adhoc")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: outputs/adhoc/quick/runs/{damaged.name}/metrics.jsonl")
    assert done.stdout == "1 of 2 runs in outputs/adhoc/quick/wandb\n"
    (file,) = copies(study, whole.name)
    copied = without_kinds(history(read_wandb(file)), {"running": "train/error_pct"})
    assert copied == read_lines(whole / "metrics.jsonl")


def test_a_study_that_lies_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no account
    run = ("data=shapes", "tracking=off", *TINY, "output_root=else where")
    assert command(run, tmp_path)[0] == 0
    study = tmp_path / "else where" / "adhoc" / "quick"
    [run_dir] = study.glob("runs/*")
    done = mirror(tmp_path, "--experiment=adhoc", "output_root=else where")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 of 1 runs in else where/adhoc/quick/wandb\n"
    [file] = copies(study, run_dir.name)
    assert without_kinds(history(read_wandb(file))) == read_lines(run_dir / "metrics.jsonl")
    assert not (tmp_path / "outputs").exists()


def test_a_study_without_runs_is_one_line(tmp_path: Path) -> None:
    done = mirror(tmp_path, "--experiment=lesion", "output_root=elsewhere")
    assert done.returncode == 2
    places = "elsewhere/lesion/quick or results/lesion/quick"
    assert done.stderr == f"error: lesion/quick: no runs in {places}\n"
    assert list(tmp_path.iterdir()) == []
