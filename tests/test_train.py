"""The command from end to end: real processes, real records, killed and continued."""

import itertools
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import joblib
import pytest
import torch
from tests.helpers import (
    TINY,
    call,
    command,
    fresh_state,
    lines_of,
    only_run,
    read_json,
    read_lines,
    same_run,
    snapshot,
    tiny_config,
    weights,
    without_times,
)

from degradation import config, records
from degradation.data.batches import prepare
from degradation.data.images import load_images
from degradation.loop import train
from degradation.summary import summarise

RUN = ("data=shapes", "tracking=off", *TINY)
NAME = "residual-8-augmenttrue-datashapes-pixels8-train_images256-width4"


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
    *rows, end = finished.out.splitlines()
    assert len(rows) == 4
    assert all(line.startswith(finished.run_dir.name) for line in rows)
    where = finished.run_dir.relative_to(finished.folder)
    assert end == f"{finished.run_dir.name}: finished at iteration 20, {where}"
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


def test_summary_of_rows_written_by_hand() -> None:
    found = [(80.0, 70.0), (79.9, 60.0), (75.0, 65.0)]
    rows = [
        {"iteration": i, "wall_s": 1.0, "train/error_pct": train_pct, "test/error_pct": test_pct}
        for i, (train_pct, test_pct) in zip((5, 10, 20), found, strict=True)
    ]
    losses = {"train/loss": 2.0, "eval/train_loss": 2.1, "test/loss": 2.2}
    rows[-1] |= losses
    summary = summarise(tiny_config(), "residual-8-s0", rows, 1)
    assert summary["best_on_test_set"] == {"iteration": 10, "test/error_pct": 60.0}
    assert summary["iteration_below_80_pct"] == 10
    assert summary["status"] == "finished"
    for lost in losses:
        last = {key: value for key, value in rows[-1].items() if key != lost}
        summary = summarise(tiny_config(), "residual-8-s0", [*rows[:-1], last], 1)
        assert (summary["status"], summary["last"]) == ("diverged", {})


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
    assert call(*arguments, "trainer.probes=[gradients]") == 0
    told = capfd.readouterr().out
    assert "its record is without trainer.probes=['gradients'], afterwards: python scripts" in told


def test_kept_files_name_no_folder_of_the_machine(finished: Finished, tmp_path: Path) -> None:
    assert call(*RUN, f"data.root={tmp_path}", f"output_root={tmp_path / 'out'}") == 0
    folders = {finished.run_dir: finished.folder, only_run(tmp_path / "out"): tmp_path}
    for run_dir, folder in folders.items():
        for name in ("config.yaml", "environment.json", "metrics.jsonl", "summary.json"):
            assert str(folder) not in (run_dir / name).read_text()
            assert str(Path.home()) not in (run_dir / name).read_text()


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


def test_paper_preset_on_a_cpu_is_recorded_as_fp32(tmp_path: Path) -> None:
    overrides = [override for override in RUN if not override.startswith("data.train")]
    assert (
        call(*overrides, "preset=paper", "trainer.full_eval_every=0", f"output_root={tmp_path}")
        == 0
    )
    run = records.read_run(only_run(tmp_path))
    assert run.summary is not None
    assert (run.summary["precision"], run.config["trainer"]["precision"]) == ("fp32", "fp32")
    assert "precision" not in run.name


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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "launcher", ["basic", pytest.param("pool", marks=pytest.mark.slow), "fleet"]
)
def test_wrong_run_of_a_sweep_has_its_line_and_does_not_stop_the_others(
    tmp_path: Path, launcher: str
) -> None:
    sweep = ["-m", *RUN, f"hydra/launcher={launcher}", "model.depth=7,8,9"]
    sweep += ["hydra.launcher.n_jobs=2"] if launcher == "pool" else []
    status, _, err = command(sweep, tmp_path)
    assert status == 2
    lines = sorted(line for line in err.splitlines() if line.startswith("error: "))
    assert lines == [
        f"error: model.depth: {depth}; accepted: even numbers from 8" for depth in (7, 9)
    ]
    [summary] = tmp_path.glob("outputs/adhoc/quick/runs/*/summary.json")
    assert json.loads(summary.read_text())["depth"] == 8


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (("model.net=mlp", "model.depth=4"), "residual-4-"),
        (("model.net=stack", "model.depth=2", "data=uniform", "data.pixels=4"), "residual-2-"),
    ],
)
def test_small_nets_run_at_depths_that_a_resnet_cannot_have(
    overrides: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    run = ("data=shapes", "tracking=off", *TINY, *overrides, f"output_root={tmp_path}")
    assert call(*run) == 0
    assert only_run(tmp_path).name.startswith(name)
    last = lines_of(only_run(tmp_path))[-1]
    assert ("test/error_pct" in last) == ("model.net=mlp" in overrides)
    assert last["test/loss"] > 0
