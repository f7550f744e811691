"""The figure of grown nets: begin, end and random weights, of the right arms."""

from pathlib import Path

import numpy as np
import pytest
from tests.analysis.drawn import draw_own
from tests.analysis.synthetic import config

from degradation import records
from degradation.analysis import construction_figures, figures
from degradation.analysis.sources import read


def write(folder: Path, arm: str, depth: int, seed: int, end: float, *, begin: float = 0) -> None:
    name = f"{arm}-s{seed}"
    run_config = config("plain", depth, seed)
    run_config["model"]["grown_from"] = 18 if begin else 0
    writer = records.Writer(folder / "runs" / name, run_config, {})
    start = {"probe/construction/shallow_eval_train_error_pct": begin} if begin else {}
    last = {"eval/train_error_pct": end, "test/error_pct": end + 1}
    writer.write({"iteration": 0, "wall_s": 0.0, **start})
    writer.write({"iteration": 600, "wall_s": 1.0, **last})
    writer.finish({"run": name, "status": records.FINISHED, "last": last})
    writer.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in (0, 1):
        write(tmp_path, "plain-18", 18, seed, 66 + 2 * seed)
        write(tmp_path, "plain-56", 56, seed, 84)
        write(tmp_path, "plain-18-grown_from18", 18, seed, 58, begin=67)
        write(tmp_path, "plain-56-grown_from18", 56, seed, 40 + 2 * seed, begin=67)
        write(tmp_path, "plain-56-lr0.2", 56, seed, 12)
    return tmp_path


def test_lines_are_random_start_begin_and_end(folder: Path) -> None:
    figure = construction_figures._construction(read(folder))
    assert figure
    plain = [np.asarray(line.get_ydata(), float).tolist() for line in figure.axes[0].lines]
    assert plain == [[67, 84], [67, 67], [58, 41]]


def test_drawn_only_for_grown_nets(folder: Path) -> None:
    assert "construction.png" in draw_own(construction_figures.FIGURES, read(folder), folder)
    for run in folder.glob("runs/*grown*"):
        for file in run.iterdir():
            file.unlink()
        run.rmdir()
    assert construction_figures._construction(read(folder)) is None


def test_axis_of_final_errors_holds_every_panel(folder: Path) -> None:
    """The arms with overrides lie far below those without."""
    figure = figures._final_error(read(folder))
    assert figure
    low = figure.axes[0].get_ylim()[0]
    drawn = [np.asarray(line.get_ydata(), float) for axes in figure.axes for line in axes.lines]
    assert np.concatenate(drawn).min() == 12
    assert low < 12
