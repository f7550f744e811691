"""`scripts/probe.py` on a run that was trained, and what it answers where it cannot."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers import TINY, call, lines_of, only_run, read_json

from degradation.config import probes_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    probed = (f"trainer.probes=[{','.join(probes_of('resnet'))}]", "trainer.probe_every=0")
    assert call("data=shapes", "tracking=off", *TINY, *probed, f"output_root={root}") == 0
    return only_run(root)


def probe(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "probe.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_trained_run_is_measured_as_it_was_at_its_end(run_dir: Path) -> None:
    done = probe(run_dir)
    assert (done.returncode, done.stderr) == (0, "")
    row = read_json(run_dir / "probes.json")
    recorded = lines_of(run_dir)[-1]
    assert row.pop("iteration") == recorded["iteration"] == 20
    assert row.keys() == {key for key in recorded if key.startswith("probe/")}
    assert row == pytest.approx({key: recorded[key] for key in row}, rel=1e-4)
    assert len(done.stdout.splitlines()) == len(row) + 1


def test_one_probe_of_several(run_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / run_dir.name
    shutil.copytree(run_dir, copy)
    assert probe(copy, "--probe", "responses").returncode == 0
    row = read_json(copy / "probes.json")
    assert {key.split("/")[1] for key in row if "/" in key} == {"responses"}


def test_what_cannot_be_measured_is_one_line(run_dir: Path, tmp_path: Path) -> None:
    without = tmp_path / "without" / run_dir.name
    shutil.copytree(run_dir, without)
    (without / "checkpoint.pt").unlink()
    (tmp_path / "empty").mkdir()
    for arguments, line in (
        (
            (run_dir, "--probe", "magic"),
            "trainer.probes: 'magic'; accepted: gradients, responses",
        ),
        ((tmp_path / "empty",), f"{tmp_path / 'empty'}: no config.yaml, so this is not a run"),
        ((tmp_path / "nowhere",), f"{tmp_path / 'nowhere'}: no config.yaml"),
        ((without,), f"{without / 'checkpoint.pt'}: missing; committed records have none"),
    ):
        done = probe(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {line}")
        assert done.stderr.count("\n") == 1


def test_a_run_that_diverged_has_no_last_net_to_be_measured(tmp_path: Path) -> None:
    lost = ("optim.lr=1e9", "schedule.warmup=none", "trainer.checkpoint_every=5")
    assert call("data=shapes", "tracking=off", *TINY, *lost, f"output_root={tmp_path}") == 0
    done = probe(only_run(tmp_path), "--probe", "responses")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert " diverged at iteration " in done.stderr


def test_a_net_that_a_probe_is_not_for_is_one_line(tmp_path: Path) -> None:
    run = ("data=shapes", "tracking=off", *TINY, "model.order=pre", "schedule.iterations=5")
    assert call(*run, f"output_root={tmp_path}") == 0
    done = probe(only_run(tmp_path), "--probe", "responses")
    assert done.returncode == 2
    fitting = "gradients, shattering, identity, lesion for model.order=pre and model.shortcut=A"
    assert done.stderr == f"error: trainer.probes: 'responses'; accepted: {fitting}\n"
