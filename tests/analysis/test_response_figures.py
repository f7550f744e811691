"""The figure of layer responses: there where they were measured, of the right numbers."""

from pathlib import Path

import numpy as np
import pytest
from tests.analysis.drawn import draw_own
from tests.analysis.synthetic import config

from degradation import records
from degradation.analysis import response_figures
from degradation.analysis.curves import Study
from degradation.analysis.sources import read

KEY = "probe/responses/layer/"


def write(folder: Path, kind: str, seed: int, stds: list[float], diverged: bool = False) -> None:
    name = f"{kind}-20-s{seed}"
    writer = records.Writer(folder / "runs" / name, config(kind, 20, seed), {})
    start = {f"{KEY}{layer}": 99.0 for layer in (1, 2, 3)}
    last = {f"{KEY}{layer}": std for layer, std in enumerate(stds, 1)}
    writer.write({"iteration": 0, "wall_s": 0.0, **start})
    if not diverged:
        writer.write({"iteration": 600, "wall_s": 1.0, **last})
    status = records.DIVERGED if diverged else records.FINISHED
    writer.finish({"run": name, "status": status, "last": {} if diverged else last})
    writer.close()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    write(tmp_path, "plain", 0, [1.0, 100.0, 4.0])
    write(tmp_path, "plain", 1, [1.0, 1.0, 9.0])
    write(tmp_path, "plain", 2, [], diverged=True)
    write(tmp_path, "residual", 0, [1.0, 0.5, 0.25])
    return read(tmp_path)


def test_lines_are_the_last_iterates_in_order_and_ranked(study: Study) -> None:
    figure = response_figures._layer_responses(study)
    assert figure
    plain, residual, plain_ranked, residual_ranked = (
        [np.asarray(line.get_ydata(), float) for line in axes.lines] for axes in figure.axes
    )
    assert plain == [pytest.approx([1, 10, 6])]  # geometric means over two seeds
    assert plain_ranked == [pytest.approx([30, 2, 1])]  # each net ranked, then the mean
    for of_residual in (residual, residual_ranked):
        assert of_residual == [pytest.approx([1, 0.5, 0.25])]


def test_redrawing_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    first = draw_own(response_figures.FIGURES, study, tmp_path)
    assert first.keys() >= {"layer_responses.png", "layer_responses.svg"}
    assert draw_own(response_figures.FIGURES, study, tmp_path) == first
