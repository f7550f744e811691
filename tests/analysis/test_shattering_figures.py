"""Figures of shattered gradients: there where they were measured, of the right numbers."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from tests.analysis.drawn import draw_own
from tests.analysis.synthetic import config

from degradation import records
from degradation.analysis import shattering_figures
from degradation.analysis.curves import Study
from degradation.analysis.sources import read

STEMS = ("shattering_autocorrelation", "shattering_by_depth", "shattering_slopes")


def write(folder: Path, name: str, near: dict[int, float], diverged: bool = False) -> None:
    """near: the correlation at lag 1 by iteration; at lag 10 it is a tenth of that."""
    kind, depth, *_, seed = name.split("-")
    made = config(kind, int(depth), int(seed[1:]), schedule={"iterations": 40, "milestones": []})
    if "batch_norm" in name:
        made["model"]["batch_norm"] = False
    writer = records.Writer(folder / "runs" / name, made, {})
    last = {}
    for iteration, value in near.items():
        last = {f"probe/shattering/slope/{i}": -5.0 * i for i in (1, 2, 3)}
        last["probe/shattering/autocorrelation/1"] = value
        last["probe/shattering/autocorrelation/10"] = value / 10
        writer.write({"iteration": iteration, "wall_s": 1.0, **last})
    status = records.DIVERGED if diverged else records.FINISHED
    writer.finish({"run": name, "status": status, "last": {} if diverged else last})
    writer.close()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    for seed in (0, 1):
        write(tmp_path, f"plain-18-s{seed}", {0: 0.2 + 0.2 * seed, 40: 0.7})
        write(tmp_path, f"plain-56-s{seed}", {0: 0.0, 40: 0.1})
        write(tmp_path, f"residual-18-batch_normfalse-s{seed}", {0: 0.9}, diverged=True)
    return read(tmp_path)


def lines_of(axes: Axes) -> list[list[float]]:
    found = [line for line in axes.lines if line.get_marker() not in ("None", ".")]
    return [np.asarray(line.get_ydata(), float).tolist() for line in found]


def test_redrawing_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    first = draw_own(shattering_figures.FIGURES, study, tmp_path)
    assert first.keys() >= {f"{stem}.{form}" for stem in STEMS for form in ("png", "svg")}
    assert draw_own(shattering_figures.FIGURES, study, tmp_path) == first


def test_curves_are_means_before_the_first_step_by_lag(study: Study) -> None:
    figure = shattering_figures._autocorrelation(study)
    assert figure
    plain, residual, _, residual_without_norm = figure.axes
    assert np.asarray(plain.lines[1].get_xdata()).tolist() == [1, 10]
    assert lines_of(plain) == [pytest.approx([0.3, 0.03]), pytest.approx([0, 0])]
    assert lines_of(residual) == []
    assert lines_of(residual_without_norm) == [pytest.approx([0.9, 0.09])]


def test_against_depth_a_run_that_diverged_has_a_start_only(study: Study) -> None:
    figure = shattering_figures._by_depth(study)
    assert figure
    with_norm, without = figure.axes
    assert lines_of(with_norm)[:2] == [pytest.approx([0.3, 0]), pytest.approx([0.7, 0.1])]
    assert [line for line in lines_of(without) if line] == [pytest.approx([0.9])]


def test_slopes_are_one_seeds_each_on_its_own_scale(study: Study) -> None:
    figure = shattering_figures._slopes(study)
    assert figure
    (line,) = figure.axes[0].lines
    assert np.asarray(line.get_ydata()) == pytest.approx(np.array([-1 / 3, -2 / 3, -1]))
