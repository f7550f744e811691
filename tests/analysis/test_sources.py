"""Reading runs: what is pooled, what is refused, and what a CSV file says."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.analysis.synthetic import ITERATIONS, write_run

from degradation.analysis.curves import StudyError
from degradation.analysis.estimands import Metric
from degradation.analysis.sources import read, refuse_unequal_arms

HEAD = "kind,depth,seed,iteration,train_error_pct,test_error_pct\n"
TRAIN, TEST = Metric("eval/train_error_pct"), Metric("test/error_pct")


def test_a_study_folder_and_its_runs_folder_read_alike(tmp_path: Path) -> None:
    write_run(tmp_path, "residual", 18, 0, 47)
    write_run(tmp_path, "plain", 56, 1, 82)
    write_run(tmp_path, "plain", 56, 0, 81)
    study = read(tmp_path)
    assert [run.name for run in study.runs] == ["plain-56-s0", "plain-56-s1", "residual-18-s0"]
    assert (study.experiment, study.preset, study.data, study.precision) == (
        "depth_sweep", "quick", "cifar10", "fp32"
    )  # fmt: skip
    assert read(tmp_path / "runs").runs == study.runs
    assert study.runs[1].value(TRAIN) == pytest.approx(82)
    assert study.runs[1].value(Metric("parameters")) == 56000


def test_unfinished_runs_are_not_counted_and_diverged_ones_are_90_percent(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 110, 0, None)
    (write_run(tmp_path, "plain", 110, 1, 80) / "summary.json").unlink()
    study = read(tmp_path)
    assert [run.status for run in study.runs] == ["diverged", "unfinished"]
    (run,) = study.ended("plain-110")
    assert run.value(TRAIN) == run.value(TEST) == 90


def test_iterations_to_a_level(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 18, 0, 50)
    run = read(tmp_path).runs[0]
    level = Metric("eval/train_subset_error_pct", 60.0)
    # error = 50 + 40 * (1 - i / 600)^2 is 60 at i = 300; it was measured at 200, 300, ...
    assert run.value(level) == 300
    assert not run.is_censored(level)
    never = Metric("eval/train_subset_error_pct", 10.0)
    assert run.value(never) == ITERATIONS
    assert run.is_censored(never)


def test_a_run_that_diverged_before_it_was_measured_never_came_to_a_level(tmp_path: Path) -> None:
    path = write_run(tmp_path, "plain", 110, 0, None) / "metrics.jsonl"
    path.write_text('{"iteration": 25, "wall_s": 2.5}\n')
    (run,) = read(tmp_path).runs
    level = Metric("eval/train_subset_error_pct", 60.0)
    assert run.value(level) == ITERATIONS
    assert run.is_censored(level)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preset": "paper"}, ("preset", "paper", "quick")),
        ({"data": {"name": "shapes"}}, ("data.name", "cifar10", "shapes")),
        ({"trainer": {"precision": "tf32"}}, ("trainer.precision", "fp32", "tf32")),
    ],
)
def test_mixed_runs_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    write_run(tmp_path, "plain", 18, 0, 56)
    write_run(tmp_path, "plain", 56, 0, 82, **changes)
    with pytest.raises(StudyError) as error:
        read(tmp_path)
    for word in ("never pooled", *words):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule": {"iterations": "many"}}, "schedule.iterations: 'many'; accepted: int"),
        ({"schedule": {"iterations": 9, "milestones": [[1]]}}, "schedule.milestones: "),
        (
            {"trainer": {"precision": "fp32", "curve_train_images": [1]}},
            r"trainer\.curve_train_images: ",
        ),
        ({"optim": [1]}, r"optim: \[1\]; accepted: a mapping"),
        ({"hardware": ["cpu"]}, r"hardware: \['cpu'\]; accepted: a mapping"),
        (
            {"hardware": {"batch_norm_kernels": 1}},
            r"hardware\.batch_norm_kernels: 1; accepted: str",
        ),
        ({"optim": {"lr": "0.1"}}, "optim.lr: '0.1'; accepted: int or float"),
        ({"experiment": 3}, "experiment: 3; accepted: str"),
    ],
)
def test_settings_of_another_type_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    write_run(tmp_path, "plain", 18, 0, 56, **changes)
    with pytest.raises(StudyError, match=f"plain-18-s0/config.yaml: {words}") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("summary.json", {"schema": 1, "status": "finished", "last": [1]}, "last: "),
        ("summary.json", {"schema": 1, "status": "finished", "parameters": "9"}, "parameters: '9'"),
        ("summary.json", {"schema": 1, "status": "finished", "wall_s": {}}, "wall_s: "),
        ("environment.json", {"packages": ["torch"]}, "packages: "),
    ],
)
def test_numbers_of_another_type_are_refused(
    tmp_path: Path, name: str, content: dict[str, Any], words: str
) -> None:
    (write_run(tmp_path, "plain", 18, 0, 56) / name).write_text(json.dumps(content))
    with pytest.raises(StudyError, match=f"plain-18-s0/{name}: {words}"):
        read(tmp_path)


def test_keys_of_several_lines_are_told_in_one(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 18, 0, 56)
    write_run(tmp_path, "plain", 18, 1, 56, schedule={"iterations": 600, "a\nb": "c\nd"})
    with pytest.raises(StudyError, match=r"schedule\.a b: None / c d") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_one_arm_is_one_config(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 18, 0, 56)
    write_run(tmp_path, "plain", 18, 1, 56, schedule={"iterations": 800})
    with pytest.raises(StudyError, match=r"plain-18-s0 and plain-18-s1 .*: schedule.iterations: "):
        read(tmp_path)


def test_arms_are_compared_that_differ_by_kind_depth_and_what_is_set_aside(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 18, 0, 56)
    write_run(tmp_path, "residual", 56, 0, 50, optim={"lr": 0.1})
    study = read(tmp_path)
    refuse_unequal_arms(study, ["optim.lr"])
    with pytest.raises(StudyError, match=r"plain-18-s0 and residual-56-s0 .*: optim.lr: "):
        refuse_unequal_arms(study, [])
    with pytest.raises(StudyError, match=r"optim.lr: "):
        refuse_unequal_arms(study, ["schedule.iterations"])


def test_where_and_how_a_run_is_kept_may_differ(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 18, 0, 56)
    write_run(tmp_path, "plain", 18, 1, 57, hardware={"device": "cuda"}, output_root="elsewhere")
    assert len(read(tmp_path).ended("plain-18")) == 2


def test_seeds_of_pilots_are_left_out(tmp_path: Path) -> None:
    for seed in (0, 1, 100):
        write_run(tmp_path, "plain", 18, seed, 56)
    assert [run.seed for run in read(tmp_path).ended("plain-18")] == [0, 1]


def test_an_arm_with_overrides_is_another_arm(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 56, 0, 82)
    other = write_run(tmp_path / "other", "plain", 56, 0, 40, trainer={"precision": "bf16"})
    other.rename(tmp_path / "runs" / "plain-56-precisionbf16-s0")
    study = read(tmp_path)
    assert study.precision == "fp32"
    assert [run.value(TRAIN) for run in study.ended("plain-56")] == [pytest.approx(82)]


def test_a_renamed_run_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no runs here"):
        read(tmp_path)
    with pytest.raises(StudyError, match="accepted"):
        read(tmp_path / "missing")
    write_run(tmp_path, "plain", 56, 0, 82).rename(tmp_path / "runs" / "residual-56-s0")
    with pytest.raises(StudyError, match="residual-56-s0 holds the config of plain-56-s0"):
        read(tmp_path)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text(
        HEAD
        + "plain,56,0,200,7.5,13\nplain,56,0,100,30,31\nplain,110,0,100,nan,\nplain,56,1,200,,12\n"
    )
    study = read(path)
    assert (study.preset, study.data) == (None, None)
    (diverged,) = study.ended("plain-110")
    assert (diverged.status, diverged.value(TRAIN)) == ("diverged", 90)
    first, second = study.ended("plain-56")
    assert (first.value(TRAIN), first.value(TEST)) == (7.5, 13)  # the last iteration, in any order
    assert (second.value(TRAIN), second.value(TEST)) == (None, 12)
    assert first.value(Metric("eval/train_error_pct", 30)) == 100
    assert first.value(Metric("parameters")) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind,depth\nplain,18\n", "columns kind, depth; accepted: kind, depth, seed, iteration"),
        (HEAD, "no line below the heading"),
        (HEAD + "plain,18,0," + "9" * 30 + ",2,3\n", "line 2: beyond 64 bits; accepted: whole"),
        (HEAD + "plain,18,0," + "9" * 5000 + ",2,3\n", "line 2: .*; accepted: whole"),
        (HEAD + "plain,18,0,1,2," + "3" * 200_000 + "\n", "not CSV: field larger than"),
        (HEAD + "plain,x,0,1,2,3\n", "line 2: .*'x'"),
        (HEAD + "plian,18,0,1,2,3\n", "line 2: kind 'plian'; accepted: plain, residual"),
        (HEAD + "plain,18,0,1,200,3\n", "line 2: errors .*percent"),
        (HEAD + "plain,18,0,1,2,3\nplain,18,0,1,2,3\n", "line 3: iteration 1 of plain-18 seed 0"),
        (HEAD + "plain,18,0,1,.2,.3\nplain,56,0,1,0.9,1\n", "no error above 1; .*not fractions"),
        (
            "kind,depth,seed,iteration,train_err_pct,test_error_pct\nplain,18,0,1,20,30\n",
            "column 'train_err_pct'; accepted: train_error_pct",
        ),
        (HEAD + "plain,18,0,1,2,3\nplain,56,0,9,2,3\n", "plain-18 seed 0 ends at iteration 1"),
    ],
)
def test_a_csv_that_cannot_be_judged(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "curves.csv"
    path.write_text(text)
    with pytest.raises(StudyError, match=words) as error:
        read(path)
    assert "\n" not in str(error.value)
