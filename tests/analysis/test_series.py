"""What is drawn of runs that end badly, and where the axes of errors begin."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.analysis.synthetic import write_run
from tests.helpers import read_lines

from degradation.analysis.page.charts import charts
from degradation.analysis.page.values import curve_tables
from degradation.analysis.series import error_axis, longest_grid, with_curve
from degradation.analysis.sources import read

CLEAN = "eval/train_subset_error_pct"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two runs that end at 40 and 50 %, and one that diverged before it was evaluated."""
    for seed, final_pct in enumerate((40.0, 50.0, None)):
        lost = write_run(tmp_path, "residual", 56, seed, final_pct)
    first, *_ = (lost / "metrics.jsonl").read_text().splitlines(keepends=True)
    (lost / "metrics.jsonl").write_text(first)
    return tmp_path


def test_a_run_that_was_never_evaluated_counts_as_chance_from_the_start(study: Path) -> None:
    found = charts(read(study))
    assert found
    (line,) = [
        trace for trace in found.panels["residual"]
        if trace["meta"]["split"] == "training" and "band" not in trace["meta"]
    ]  # fmt: skip
    assert line["y"][-1] == pytest.approx((40 + 50 + 90) / 3)
    assert line["customdata"][-1][1:] == pytest.approx([40, 90])
    (final,) = [
        trace for trace in found.final
        if trace["meta"]["split"] == "training" and "dots" not in trace["meta"]
    ]  # fmt: skip
    assert final["y"] == pytest.approx(line["y"][-1:])


def write_lost(study: Path, seed: int) -> None:
    """A run that is at 70 % when it breaks off at 300 of 600 iterations."""
    path = write_run(study, "plain", 110, seed, None) / "metrics.jsonl"
    rows = read_lines(path)
    text = "".join(json.dumps(row | ({CLEAN: 70.0} if CLEAN in row else {})) + "\n" for row in rows)
    path.write_text(text)


def test_where_all_runs_diverged_the_curve_goes_on_at_chance_to_the_end(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_lost(tmp_path, seed)
    found = charts(read(tmp_path))
    assert found
    (line,) = [
        trace for trace in found.panels["plain"]
        if trace["meta"]["split"] == "training" and "band" not in trace["meta"]
    ]  # fmt: skip
    assert line["x"] == [100, 200, 300, 301, 600]
    assert line["y"] == [70, 70, 70, 90, 90]  # a step, no ramp that nobody measured


def test_values_of_an_arm_whose_runs_all_diverged_are_chance_in_every_later_row(
    tmp_path: Path,
) -> None:
    write_run(tmp_path, "plain", 18, 0, 50.0)
    write_lost(tmp_path, 0)
    found = charts(read(tmp_path))
    assert found
    head, *_ = curve_tables(found, "plain")
    assert [row[0] for row in head.rows] == ["100", "200", "300", "400", "500", "600"]
    assert [row[2] for row in head.rows] == ["70.00"] * 3 + ["90.00"] * 3


@pytest.mark.parametrize(("asked", "ends"), [(300, []), (301, [301]), (302, [301, 302])])
def test_a_step_to_chance_never_goes_beyond_what_was_asked_for(
    tmp_path: Path, asked: int, ends: list[int]
) -> None:
    write_run(tmp_path, "plain", 110, 0, None, schedule={"iterations": asked, "milestones": []})
    assert longest_grid(read(tmp_path).runs, CLEAN) == [100, 200, 300, *ends]


def test_where_no_run_was_evaluated_there_is_no_curve(study: Path) -> None:
    runs = read(study).runs
    assert len(with_curve(runs, CLEAN)) == 3
    assert with_curve([run for run in runs if CLEAN not in run.curves], CLEAN) == []


@pytest.mark.parametrize(
    ("finals", "linear", "log"),
    [((68.0, 70.0), 60, 0.7 * 69), ((31.0, 71.0), 30, 31.0), ((0.0, 8.0), 0, 0.01)],
)
def test_axes_begin_below_each_run(
    tmp_path: Path, finals: tuple[float, float], linear: float, log: float
) -> None:
    for seed, final_pct in enumerate(finals):
        write_run(tmp_path, "plain", 18, seed, final_pct)
    begins = error_axis([read(tmp_path).runs])
    assert (begins.linear, begins.log) == pytest.approx((linear, log))
    assert begins.is_log == (sum(finals) / 2 + 1.5 < 10)  # the test error


def test_images_learnt_by_heart_make_no_logarithmic_axis(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 18, 0, 0.1)
    (run,) = read(tmp_path).runs
    overfitted = replace(run, last=run.last | {"test/error_pct": 47.0})
    assert [error_axis([[one]]).is_log for one in (run, overfitted)] == [True, False]
