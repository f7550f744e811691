"""Figures of lesions: there where they were measured, the same again, of the right numbers."""

from pathlib import Path

import numpy as np
import pytest
from tests.analysis.drawn import draw_own
from tests.analysis.synthetic import config, write_study

from degradation import records
from degradation.analysis import lesion_figures
from degradation.analysis.curves import Study
from degradation.analysis.sources import read
from degradation.analysis.style import palette

STEMS = ("lesion_blocks", "lesion_identity", "lesion_several")


def write(folder: Path, name: str, intact: float, rises: dict[int, float]) -> None:
    """Of three blocks the second changes the size."""
    kind, depth, seed, *_ = name.split("-")
    made = config(kind, int(depth), int(seed[1:]))
    lesions = {f"delete/{i}": intact + rise for i, rise in rises.items()}
    lesions |= {"intact": intact, "delete_error_mean": intact + rises[1], "random/2": 80.0}
    last = {f"probe/lesion/{key}": value for key, value in lesions.items()}
    last |= {"probe/identity/block/1": 0.1 * (1 + int(seed[1:])), "probe/identity/block/3": 1.0}
    writer = records.Writer(folder / "runs" / name, made, {})
    writer.write({"iteration": 0, "wall_s": 0.0, **dict.fromkeys(last, 90.0)})
    writer.write({"iteration": 600, "wall_s": 1.0, **last})
    writer.finish({"run": name, "status": records.FINISHED, "last": last})
    writer.close()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    for seed in (0, 1):
        write(tmp_path, f"plain-18-s{seed}", 50.0 + 10 * seed, {1: 30.0, 2: 5.0, 3: 20.0})
        write(tmp_path, f"residual-18-s{seed}", 40.0, {1: 2.0, 2: 9.0, 3: -1.0 + 2 * seed})
    return read(tmp_path)


def test_redrawing_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    first = draw_own(lesion_figures.FIGURES, study, tmp_path)
    assert first.keys() >= {f"{stem}.{form}" for stem in STEMS for form in ("png", "svg")}
    assert draw_own(lesion_figures.FIGURES, study, tmp_path) == first


def test_nothing_is_drawn_where_no_block_was_deleted(tmp_path: Path) -> None:
    study = read(write_study(tmp_path, seeds=1))
    assert not any(drawing.draw(study) for drawing in lesion_figures.FIGURES)


def test_blocks_stand_with_their_mean_error_after_deletion(study: Study) -> None:
    figure = lesion_figures._lesion_blocks(study)
    assert figure
    deleted = figure.axes[0]
    plain, residual = (
        line
        for line in deleted.lines
        if len(line.get_xydata()) == 3  # type: ignore[arg-type]
    )
    assert np.asarray(plain.get_xydata()).tolist() == [[1, 85], [2, 60], [3, 75]]
    assert np.asarray(residual.get_ydata()).tolist() == [42, 49, 40]
    hollow = [line for line in deleted.lines if line.get_markerfacecolor() == palette().background]
    assert [np.asarray(line.get_xydata()).tolist() for line in hollow] == [[[2, 60]], [[2, 49]]]


def test_cost_is_the_rise_of_blocks_that_keep_the_size(study: Study) -> None:
    runs = lesion_figures._arms(study)["plain", 18]
    distances, rises = lesion_figures._cost(runs)
    assert distances == pytest.approx([0.15, 1.0])
    assert rises == pytest.approx([30, 20])


def test_several_begin_with_the_intact_net_and_one_block(study: Study) -> None:
    figure = lesion_figures._lesion_several(study)
    assert figure
    plain = figure.axes[0].lines[0]
    assert np.asarray(plain.get_xydata()).tolist() == [[0, 55], [1, 85], [2, 80]]
