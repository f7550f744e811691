"""Figures: the same bytes every time, for complete and for poor studies."""

import importlib
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from tests.analysis.synthetic import write_run, write_study

from degradation.analysis import captions, error_curves, figures, forming_figures
from degradation.analysis.curves import Study, StudyError
from degradation.analysis.estimands import KINDS
from degradation.analysis.sources import read
from degradation.analysis.style import THEMES, palette

ALL = {"curves.png", "curves.svg", "final_error.png", "final_error.svg"}
FORMS = ALL | {"forming.png", "forming.svg"}
"""Of a study with several depths of both kinds."""


def test_redrawing_gives_the_same_bytes(tmp_path: Path) -> None:
    study = read(write_study(tmp_path, seeds=2))
    first = drawn(study, tmp_path)
    assert first.keys() == FORMS | {name.replace(".", ".dark.", 1) for name in FORMS}
    assert drawn(study, tmp_path) == first
    for name in ("curves.svg", "curves.dark.svg"):
        ElementTree.fromstring(first[name])
    for theme, name in zip(THEMES, ("curves.png", "curves.dark.png"), strict=True):
        pixels = mpl.image.imread(tmp_path / name)  # (height, width, 4)
        assert pixels.shape[1] >= 1600
        assert float(np.std(pixels[..., :3])) > 0.05  # not an empty page
        assert to_hex(pixels[0, 0]) == palette(theme).background


def drawn(study: Study, folder: Path) -> dict[str, bytes]:
    """Light and dark; the report shows the light ones."""
    shown = figures.draw(study, folder)
    assert {path.name for path in shown} == FORMS
    return {
        path.name: path.read_bytes() for form in ("png", "svg") for path in folder.glob(f"*.{form}")
    }


def test_every_modules_figures_are_in_the_report() -> None:
    folder = Path(figures.__file__).parent
    names = [f"degradation.analysis.{path.stem}" for path in folder.glob("*_figures.py")]
    assert len(names) > 8
    found = [drawing for name in names for drawing in importlib.import_module(name).FIGURES]
    assert {id(drawing) for drawing in found} == {id(drawing) for drawing in figures.OWN}
    assert len(figures.ALL) == len(found) + 2


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


def test_an_arm_that_diverged_before_its_first_evaluation_is_named(tmp_path: Path) -> None:
    write_study(tmp_path, 2, {("residual", 18): 47.0})
    for seed in (0, 1):
        run = write_run(tmp_path, "plain", 18, seed, None)
        (run / "metrics.jsonl").write_text('{"iteration": 20, "lr": 0.1, "wall_s": 1.0}\n')
    figure = error_curves.error_curves(read(tmp_path))
    assert figure
    plain, residual = figure.axes
    assert [text.get_text() for text in plain.texts] == ["18 layers: 2 of 2 diverged"]
    assert not residual.texts


def texts(figure: Figure | None) -> list[str]:
    """The title, and what stands in the middle of panels."""
    assert figure
    notes = [text.get_text() for axes in figure.axes for text in axes.texts]
    return [figure.get_suptitle(), *notes]


def test_a_poor_study_is_drawn_with_what_it_lacks(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", "plain", 56, 0, 80.0)
    heading, *notes = texts(error_curves.error_curves(read(tmp_path / "one")))
    assert heading.startswith("Error curves on CIFAR-10, preset quick\nn = 1 seed;")
    assert notes == ["no run has ended"]  # of the residual nets
    final = figures._final_error(read(tmp_path / "one"))
    assert final
    low, high = final.axes[0].get_xlim()
    assert low < 56 < high
    write_run(tmp_path / "one", "plain", 56, 1, None)
    heading = texts(figures._final_error(read(tmp_path / "one")))[0]
    assert "n = 2 seeds, 1 of 2 runs diverged" in heading
    (one / "summary.json").unlink()
    heading = texts(figures._final_error(read(tmp_path / "one")))[0]
    assert "n = 1 seed, 1 of 1 runs diverged, 1 unfinished left out" in heading


def test_arms_with_overrides_alone_have_no_curves(tmp_path: Path) -> None:
    run = write_run(tmp_path, "plain", 18, 0, 60.0)
    run.rename(run.parent / "plain-18-lr0.01-s0")
    study = read(tmp_path)
    assert {path.name for path in figures.draw(study, tmp_path)} == ALL - {
        "curves.png", "curves.svg"
    }  # fmt: skip
    assert captions.final_error(study).startswith("Last iterate on CIFAR-10, preset quick, n = 1")
    assert captions.curves(study)


def test_arms_of_other_presets_and_data_sets_are_named(tmp_path: Path) -> None:
    """Such arms have overrides in their names and are pooled with nothing; others are refused."""
    write_run(tmp_path, "plain", 56, 0, 80.0)
    run = write_run(tmp_path, "plain", 18, 0, 60.0, data={"name": "shapes"}, preset="paper")
    with pytest.raises(StudyError, match="runs of different preset are never pooled"):
        read(tmp_path)
    run.rename(run.parent / "plain-18-nameshapes-s0")
    heading = texts(figures._final_error(read(tmp_path)))[0]
    others = "some arms: shapes (procedural, not CIFAR-10), preset paper"
    assert heading.startswith(f"Error of the last iterate on CIFAR-10, preset quick, {others}\n")


def test_the_rise_is_shown_at_moments_at_which_every_run_was_measured(tmp_path: Path) -> None:
    write_study(tmp_path, 2)
    write_run(tmp_path, "plain", 110, 0, None)  # broke off at 300 of 600 iterations
    study = read(tmp_path)
    figure = forming_figures.FIGURES[0].draw(study)
    assert figure
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"iteration {moment}" for moment in (100, 200, 300, 500, 600)]
    plain = next(line for line in figure.axes[-1].lines if line.get_linewidth() == 1.6)
    key = "eval/train_subset_error_pct"
    finals = [run.curves[key].values[-1] for run in study.ended("plain-56")]
    found = {int(depth): error for depth, error in np.asarray(plain.get_data()).T}
    assert found[56] == pytest.approx(sum(finals) / len(finals))
    other = study.ended("plain-110")[1].curves[key].values[-1]
    assert found[110] == pytest.approx((90 + other) / 2)


def test_a_run_that_diverged_before_it_was_measured_counts_as_chance(tmp_path: Path) -> None:
    write_study(tmp_path, 2)
    run = write_run(tmp_path, "plain", 18, 0, None)
    (run / "metrics.jsonl").write_text('{"iteration": 20, "lr": 0.1, "wall_s": 1.0}\n')
    figure = forming_figures.FIGURES[0].draw(read(tmp_path))
    assert figure
    dots = [line for line in figure.axes[-1].lines if line.get_marker() == "."]
    assert max(np.asarray(dots[0].get_ydata(), float)) == 90


def test_two_depths_make_no_line_that_rises(tmp_path: Path) -> None:
    write_study(tmp_path, 2, {(kind, depth): 50.0 for kind in KINDS for depth in (18, 56)})
    assert forming_figures.FIGURES[0].draw(read(tmp_path)) is None
