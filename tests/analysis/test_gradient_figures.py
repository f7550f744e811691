"""Figures of gradient flow: there where it was measured, the same again, of the right numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from tests.analysis.drawn import draw_own
from tests.analysis.synthetic import config

from degradation import records
from degradation.analysis import gradient_figures
from degradation.analysis.curves import Study
from degradation.analysis.series import arms_with
from degradation.analysis.sources import read

STEMS = ("gradient_ratio", "gradient_heat")


def write(folder: Path, name: str, ratios: dict[int, float], diverged: bool = False) -> None:
    kind, depth, *_, seed = name.split("-")
    made = config(kind, int(depth), int(seed[1:]), schedule={"iterations": 20, "milestones": []})
    if "batch_norm" in name:
        made["model"]["batch_norm"] = False
    writer = records.Writer(folder / "runs" / name, made, {})
    for iteration, ratio in ratios.items():
        layers = {f"probe/gradients/weight/{i}": 10.0 ** (i + int(seed[1:])) for i in (1, 2, 3)}
        row = {"iteration": iteration, "probe/gradients/first_to_last_output": ratio}
        writer.write({"wall_s": 1.0, **row, **layers})
    status = records.DIVERGED if diverged else records.FINISHED
    writer.finish({"run": name, "status": status, "last": {} if diverged else row})
    writer.close()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    for seed in (0, 1):
        write(tmp_path, f"plain-18-s{seed}", {0: 1.0 + seed, 10: -1.0, 20: -2.0})
        write(tmp_path, f"residual-18-s{seed}", {0: 0.5, 10: 0.5, 20: 0.5 + seed})
        write(tmp_path, f"plain-18-batch_normfalse-s{seed}", {0: -3.0, 10: -4.0}, diverged=True)
    return read(tmp_path)


def test_redrawing_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    first = draw_own(gradient_figures.FIGURES, study, tmp_path)
    assert first.keys() >= {f"{stem}.{form}" for stem in STEMS for form in ("png", "svg")}
    assert draw_own(gradient_figures.FIGURES, study, tmp_path) == first


def test_heat_is_the_geometric_mean_over_seeds(study: Study) -> None:
    runs = arms_with(study, gradient_figures.RATIO)["plain", 18]
    iterations, heat = gradient_figures._heat(runs)
    assert iterations == [0, 10, 20]
    assert heat == pytest.approx(np.array([[1.5] * 3, [2.5] * 3, [3.5] * 3]))


def test_a_run_that_broke_off_has_a_start_but_no_last_record(study: Study) -> None:
    def plain_lines(axes: Axes) -> list[list[float]]:
        lines = [line for line in axes.lines if line.get_marker() == "s"]
        return [np.asarray(line.get_ydata()).tolist() for line in lines]

    figure = gradient_figures._gradient_ratio(study)
    assert figure
    with_norm, without = figure.axes
    assert plain_lines(with_norm) == [[1.5], [-2.0]]
    assert plain_lines(without) == [[-3.0], []]


def test_where_fewer_runs_have_a_number_their_count_stands_beside_the_mean(tmp_path: Path) -> None:
    """One whose gradient has become zero has no logarithm, though it did not diverge."""
    for seed in (0, 1, 2):
        write(tmp_path, f"plain-18-s{seed}", {0: 1.0, 10: -1.0, 20: -2.0})
    gone = tmp_path / "runs" / "plain-18-s2" / "summary.json"
    summary = json.loads(gone.read_text())
    del summary["last"]["probe/gradients/first_to_last_output"]
    gone.write_text(json.dumps(summary))
    figure = gradient_figures._gradient_ratio(read(tmp_path))
    assert figure
    assert [note.get_text() for note in figure.axes[0].texts] == ["2"]
