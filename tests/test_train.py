"""The command from end to end: real processes, real records, killed and continued."""

import itertools
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
from tests.helpers import (
    TINY,
    call,
    command,
    fresh_state,
    make_config,
    only_run,
    read_lines,
    snapshot,
    start,
    tiny_config,
    without_times,
)

from degradation import config, records
from degradation.data.batches import prepare
from degradation.data.images import load_images
from degradation.loop import train
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
NAME = "residual-8-augmenttrue-datashapes-pixels8-train_images256-width4"


def lines_of(run_dir: Path) -> list[dict[str, Any]]:
    return without_times(read_lines(run_dir / "metrics.jsonl"))


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    content = torch.load(run_dir / "checkpoint.pt", weights_only=True)
    return {**content["model"], **{
        f"momentum.{index}": state["momentum_buffer"]
        for index, state in content["optimizer"]["state"].items()
    }}  # fmt: skip


def same_run(one: Path, other: Path) -> None:
    """Bit for bit, but for the times."""
    assert lines_of(one) == lines_of(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@dataclass
class Finished:
    folder: Path
    run_dir: Path
    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run by the installed command, in a folder that has nothing to do with the checkout."""
    folder = tmp_path_factory.mktemp("anywhere")
    script = Path(sys.executable).with_name("degradation")
    done = subprocess.run(
        [script, *RUN], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    run_dir = only_run(folder / "outputs")
    return Finished(folder, run_dir, done.returncode, done.stdout, done.stderr)


def test_command_leaves_a_finished_run(finished: Finished) -> None:
    assert (finished.status, finished.err) == (0, "")
    assert len(finished.out.splitlines()) == 4
    assert all(line.startswith(finished.run_dir.name) for line in finished.out.splitlines())
    assert finished.run_dir.parent == finished.folder / "outputs/adhoc/quick/runs"
    assert finished.run_dir.name.startswith(NAME)
    assert finished.run_dir.name.endswith("-s0")
    kept = {"config.yaml", "metrics.jsonl", "summary.json", "environment.json", "checkpoint.pt"}
    run_dir = f"outputs/adhoc/quick/runs/{finished.run_dir.name}"
    assert snapshot(finished.folder).keys() == {f"{run_dir}/{name}" for name in kept}


def test_record_is_what_the_loop_yields(finished: Finished) -> None:
    """And a run in this process is bit for bit a run in another."""
    cfg = tiny_config("data.name=shapes")
    data = prepare(load_images("shapes", None), cfg.data, torch.device("cpu"))
    state = fresh_state(cfg)
    rows = list(train(state, data, cfg))
    assert without_times(rows) == lines_of(finished.run_dir)
    saved = weights(finished.run_dir)
    assert all(torch.equal(value, saved[key]) for key, value in state.model.state_dict().items())


def test_summary(finished: Finished) -> None:
    summary = read_json(finished.run_dir / "summary.json")
    *_, last = read_lines(finished.run_dir / "metrics.jsonl")
    assert summary["last"] == {key: value for key, value in last.items() if "/" in key}
    assert {"eval/train_error_pct", "test/error_pct", "train/error_pct"} <= summary["last"].keys()
    expected = {
        "schema": 1, "status": "finished", "iteration": 20, "kind": "residual", "depth": 8,
        "seed": 0, "data": "shapes", "experiment": "adhoc", "preset": "quick",
        "run": finished.run_dir.name, "arm": finished.run_dir.name.removesuffix("-s0"),
        "wall_s": last["wall_s"], "precision": "fp32",
        "best_on_test_set": {"iteration": 20, "test/error_pct": last["test/error_pct"]},
    }  # fmt: skip
    assert {key: summary[key] for key in expected} == expected
    cfg = config.from_dict(records.read_config(finished.run_dir) or {})
    assert summary["config_hash"] == config.config_hash(cfg)
    assert cfg == tiny_config("data.name=shapes", "tracking.mode='off'")


def test_summary_counts_what_the_net_has(finished: Finished) -> None:
    """4, 8 and 16 channels, one block a stage, on 8, 4 and 2 pixels."""
    summary = read_json(finished.run_dir / "summary.json")
    pairs = [(4, 4, 64), (4, 4, 64), (4, 8, 16), (8, 8, 16), (8, 16, 4), (16, 16, 4)]
    norms = 2 * (4 + 4 + 4 + 8 + 8 + 16 + 16)
    stem = 27 * 4
    assert summary["parameters"] == stem + sum(9 * i * o for i, o, _ in pairs) + norms + 170
    multiply_adds = stem * 64 + sum(9 * i * o * pixels for i, o, pixels in pairs) + 160
    assert summary["multiply_adds"] == multiply_adds


def test_summary_says_when_the_error_fell_below_80_pct(tmp_path: Path) -> None:
    more = ("schedule.iterations=120", "schedule.milestones=[]", "model.width=8")
    assert call(*RUN, *more, "data.train_images=48", f"output_root={tmp_path}") == 0
    run_dir = only_run(tmp_path)
    below = [
        row["iteration"]
        for row in read_lines(run_dir / "metrics.jsonl")
        if row["train/error_pct"] < 80
    ]
    assert below
    assert read_json(run_dir / "summary.json")["iteration_below_80_pct"] == below[0]


def test_finished_run_is_found_and_not_touched(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished.folder)
    before = snapshot(finished.folder)
    times = {path: path.stat().st_mtime_ns for path in finished.run_dir.iterdir()}
    assert call(*RUN) == 0
    out, err = capfd.readouterr()
    assert (out.count("\n"), err) == (1, "")
    assert "finished already" in out
    assert snapshot(finished.folder) == before
    assert all(path.stat().st_mtime_ns == times[path] for path in times if path.name != ".lock")


def test_environment_holds_the_command_that_makes_the_run(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished.folder)
    environment = read_json(finished.run_dir / "environment.json")
    assert environment["threads"] == 1
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    program, *arguments = shlex.split(environment["command"])
    assert program == "degradation"
    assert call(*arguments) == 0
    assert f"{finished.run_dir.name}: finished already" in capfd.readouterr().out


def test_kept_files_name_no_folder_of_the_machine(finished: Finished) -> None:
    for name in ("environment.json", "metrics.jsonl", "summary.json"):
        assert str(finished.folder) not in (finished.run_dir / name).read_text()
        assert str(Path.home()) not in (finished.run_dir / name).read_text()


# killed and continued


def wait_for(run_dir: Callable[[], Path], iteration: int, process: "subprocess.Popen[str]") -> None:
    """Until the record has passed an iteration."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        found = run_dir()
        rows = read_lines(found / "metrics.jsonl") if found else []
        if rows and rows[-1]["iteration"] >= iteration:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f"iteration {iteration} was not reached: {process.communicate()}")


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
    second_process: tuple[int, str]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    """The same command three times: stopped by Ctrl-C, killed, and run to its end."""
    folder = tmp_path_factory.mktemp("interrupted")
    found = Interrupted(folder, [], [], [], (0, ""))

    def run_dir() -> Path:
        runs = list(folder.glob("outputs/*/*/runs/*"))
        return runs[0] if runs else folder

    for passed, way in ((60, signal.SIGINT), (200, signal.SIGKILL)):
        process = start(LONG, folder, preexec_fn=obey_ctrl_c)
        wait_for(run_dir, passed, process)
        if way == signal.SIGKILL:
            process.send_signal(signal.SIGSTOP)  # or it ends before the second one has started
            second = command(LONG, folder)
            found.second_process = (second[0], second[2])
        process.send_signal(way)
        _, err = process.communicate(timeout=60)
        found.statuses.append(process.returncode)
        found.errors.append(err)
        found.reached.append(read_lines(run_dir() / "metrics.jsonl")[-1]["iteration"])
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
    assert interrupted.statuses == [130, -signal.SIGKILL, 0]
    assert interrupted.errors == ["interrupted; the same command continues\n", "", ""]
    assert 60 <= interrupted.reached[0] < interrupted.reached[1] < 600
    same_run(interrupted.run_dir, through)
    one, other = (read_json(path / "summary.json") for path in (interrupted.run_dir, through))
    assert without_times([one]) == without_times([other])


def test_times_go_on_where_they_were(interrupted: Interrupted) -> None:
    walls = [row["wall_s"] for row in read_lines(interrupted.run_dir / "metrics.jsonl")]
    assert len(walls) == 60
    assert walls == sorted(walls)


def test_second_process_in_a_run_directory_is_refused(interrupted: Interrupted) -> None:
    status, err = interrupted.second_process
    place = interrupted.run_dir.relative_to(interrupted.run_dir.parents[4])
    assert status == 2
    assert err == f"error: {place}: another process is at work on this run\n"


def test_killed_between_the_last_checkpoint_and_the_summary(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_dir = only_run(tmp_path / "outputs")
    (run_dir / "summary.json").unlink()
    assert call(*RUN) == 0
    same_run(run_dir, finished.run_dir)
    assert read_json(run_dir / "summary.json") == read_json(finished.run_dir / "summary.json")


def test_killed_before_the_first_checkpoint(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run_dir = only_run(tmp_path / "outputs")
    for name in ("summary.json", "checkpoint.pt"):
        (run_dir / name).unlink()
    assert call(*RUN) == 0
    same_run(run_dir, finished.run_dir)


# other ends


def test_diverged_run_is_a_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = (*RUN, "optim.lr=1e30", "model.batch_norm=false", f"output_root={tmp_path}")
    assert call(*arguments) == 0
    assert capfd.readouterr().err == ""
    run = records.read_run(only_run(tmp_path))
    assert run.status == "diverged"
    assert run.summary is not None
    assert run.summary["last"] == {}
    assert run.summary["iteration"] == run.rows[-1]["iteration"] < 20
    for name in ("metrics.jsonl", "summary.json"):
        text = (only_run(tmp_path) / name).read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
    assert call(*arguments) == 0
    assert "diverged already" in capfd.readouterr().out


def test_bf16_on_a_cpu(tmp_path: Path) -> None:
    assert call(*RUN, "trainer.precision=bf16", f"output_root={tmp_path}") == 0
    run = records.read_run(only_run(tmp_path))
    assert run.summary is not None
    assert (run.status, run.summary["precision"]) == ("finished", "bf16")
    assert "-precisionbf16-" in run.name


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_recorded_rate_is_the_rule(interrupted: Interrupted, through: Path, kind: str) -> None:
    cfg = make_config(*LONG[2:], f"model.kind={kind}")
    for row in read_lines(through / "metrics.jsonl"):
        assert row["lr"] == learning_rate(int(row["iteration"]) - 1, 0.1, 8, cfg.schedule)


# many runs


def test_multirun_is_its_runs_one_by_one(
    finished: Finished, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("-m", *RUN, "model.kind=plain,residual", "seed=0,1", f"output_root={tmp_path}")
    assert call(*arguments) == 0
    assert capfd.readouterr().err == ""
    runs = sorted((tmp_path / "adhoc/quick/runs").iterdir())
    names = [finished.run_dir.name.replace("residual", kind).replace("-s0", f"-s{seed}")
             for kind in ("plain", "residual") for seed in (0, 1)]  # fmt: skip
    assert [run.name for run in runs] == names
    same_run(runs[2], finished.run_dir)
    assert all(lines_of(a) != lines_of(b) for a, b in itertools.pairwise(runs))
    before = [snapshot(run) for run in runs]
    assert call(*arguments) == 0
    assert [snapshot(run) for run in runs] == before
    assert capfd.readouterr().out.count("finished already") == 4


def test_axes_of_an_experiment_are_replaced_from_the_command_line(tmp_path: Path) -> None:
    overrides = [override for override in RUN if not override.startswith(("data=", "model.depth"))]
    sweep = ("+experiment=depth_sweep_shapes", "seed=5", "model.depth=8")
    assert call(*overrides, *sweep, f"output_root={tmp_path}") == 0
    runs = records.read_study(tmp_path / "depth_sweep_shapes/quick")
    assert [(run.config["model"]["kind"], run.config["model"]["depth"], run.config["seed"])
            for run in runs] == [("plain", 8, 5), ("residual", 8, 5)]  # fmt: skip
    assert [run.config["data"]["name"] for run in runs] == ["shapes", "shapes"]
    assert not any("shapes" in run.name for run in runs)  # the experiment's own set


def test_single_axis_value_of_every_group(tmp_path: Path) -> None:
    """Any field may be an axis, groups included."""
    arguments = ("-m", *RUN, "preset=quick,paper", "trainer.full_eval_every=10,20")
    assert call(*arguments, f"output_root={tmp_path}") == 0
    found = sorted(str(path.parent.parent.relative_to(tmp_path)) for path in
                   tmp_path.glob("*/*/runs/*/summary.json"))  # fmt: skip
    assert found == ["adhoc/paper/runs"] * 2 + ["adhoc/quick/runs"] * 2


def test_pool_shares_the_threads(finished: Finished, tmp_path: Path) -> None:
    overrides = [override for override in RUN if not override.startswith("hardware")]
    pool = ("hydra/launcher=pool", "hydra.launcher.n_jobs=2", "model.kind=plain,residual")
    status, out, err = command(["-m", *overrides, *pool], tmp_path)
    assert (status, err) == (0, "")
    assert out.count("20/20") == 2
    runs = sorted((tmp_path / "outputs/adhoc/quick/runs").iterdir())
    threads = [read_json(run / "environment.json")["threads"] for run in runs]
    assert threads == [max(1, joblib.cpu_count() // 2)] * 2
    assert [read_json(run / "summary.json")["status"] for run in runs] == ["finished"] * 2
    if threads[0] == 1:
        same_run(runs[1], finished.run_dir)


def test_wrong_run_in_a_pool_is_one_line(tmp_path: Path) -> None:
    arguments = ["-m", *RUN, "hydra/launcher=pool", "hydra.launcher.n_jobs=2", "model.depth=7,9"]
    status, out, err = command(arguments, tmp_path)
    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert lines
    assert set(lines) <= {
        f"error: model.depth: {depth}; accepted: even numbers from 8" for depth in (7, 9)
    }
