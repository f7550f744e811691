"""Figures: the same bytes every time, for complete and for poor studies."""

from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from tests.analysis.synthetic import write_run, write_study

from degradation.analysis import figures
from degradation.analysis.sources import read
from degradation.analysis.style import colour

ALL = {"curves.png", "curves.svg", "final_error.png", "final_error.svg"}


def test_redrawing_gives_the_same_bytes(tmp_path: Path) -> None:
    study = read(write_study(tmp_path, seeds=2))
    first = {path.name: path.read_bytes() for path in figures.draw(study, tmp_path)}
    assert first.keys() == ALL
    assert {path.name: path.read_bytes() for path in figures.draw(study, tmp_path)} == first
    ElementTree.fromstring(first["curves.svg"])
    pixels = mpl.image.imread(tmp_path / "curves.png")  # (height, width, 4)
    assert pixels.shape[1] >= 1600
    assert float(np.std(pixels[..., :3])) > 0.05  # not an empty page


@pytest.mark.parametrize("final_pct", [40.0, 0.0, None])
def test_one_seed_zero_errors_and_divergence_can_be_drawn(
    tmp_path: Path, final_pct: float | None
) -> None:
    write_run(tmp_path, "plain", 56, 0, final_pct)
    write_run(tmp_path, "residual", 56, 0, 5.0)
    assert {path.name for path in figures.draw(read(tmp_path), tmp_path)} == ALL


def test_curves_without_training_errors_can_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("kind,depth,seed,iteration,test_error_pct\nplain,18,0,1,9\nplain,18,0,2,8\n")
    assert {path.name for path in figures.draw(read(path), tmp_path)} == ALL


def test_depths_are_told_apart_without_colour() -> None:
    """Rec. 709 luminance: monotone in depth, so that a grey print keeps the order."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    for depths in ((18, 34, 56, 110), (20, 32, 44, 56, 110)):
        luminance = [float(weights @ np.array(colour(depth)[:3])) for depth in depths]
        assert min(np.diff(luminance)) > 0.04


def test_an_arm_that_diverged_before_its_first_evaluation_is_named(tmp_path: Path) -> None:
    write_study(tmp_path, 2, {("residual", 18): 47.0})
    for seed in (0, 1):
        run = write_run(tmp_path, "plain", 18, seed, None)
        (run / "metrics.jsonl").write_text('{"iteration": 20, "lr": 0.1, "wall_s": 1.0}\n')
    plain, residual = figures._error_curves(read(tmp_path)).axes
    assert [text.get_text() for text in plain.texts] == ["18 layers: 2 of 2 diverged"]
    assert not residual.texts
