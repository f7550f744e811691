"""The figures of longer training: of runs that differ in their length alone, at their lengths."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from tests.analysis.drawn import draw_own
from tests.analysis.synthetic import ITERATIONS, write_run

from degradation.analysis import length_figures
from degradation.analysis.sources import read

LONG = 3 * ITERATIONS
LONGER = {"schedule": {"iterations": LONG, "milestones": [1260]}}


def write(
    folder: Path, kind: str, depth: int, override: str, error: float | None, **changes: Any
) -> None:
    """Two seeds, the second one point worse."""
    for seed in (0, 1):
        final = None if error is None else error + seed
        path = write_run(folder / "made", kind, depth, seed, final, **changes)
        target = folder / "runs" / f"{kind}-{depth}{override}-s{seed}"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)


def write_lengths(folder: Path) -> None:
    override = f"-iterations{LONG}-milestones1260"
    for kind, error in (("plain", 60.0), ("residual", 50.0)):
        write(folder, kind, 18, "", error)
        write(folder, kind, 18, override, error - 20, **LONGER)
    write(folder, "plain", 110, "", None)
    write(folder, "plain", 110, override, 80.0, **LONGER)


def drawn(axes: Axes) -> list[list[float]]:
    """The means of each line."""
    lines = [line for line in axes.lines if line.get_linestyle() == "-"]
    return [np.asarray(line.get_ydata()).tolist() for line in lines]


def test_each_depth_has_its_mean_at_each_length(tmp_path: Path) -> None:
    write_lengths(tmp_path)
    write(tmp_path, "plain", 18, "-lr0.1", 10.0, optim={"lr": 0.1})  # not of this figure
    figure = length_figures._error_by_length(read(tmp_path))
    assert figure
    plain, residual, closer = figure.axes
    assert drawn(plain) == [pytest.approx([60.5, 40.5]), pytest.approx([90, 80.5])]
    assert drawn(residual) == drawn(closer) == [pytest.approx([50.5, 30.5])]
    assert plain.get_xticks().tolist() == [ITERATIONS, LONG]
    assert "n = 2 seeds, 2 of 12 runs diverged" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("override", "schedule"),
    [
        ("-milestones100", {"iterations": ITERATIONS, "milestones": [100]}),
        (f"-iterations{LONG}", {"iterations": LONG, "milestones": [420]}),
        (f"-iterations{LONG}-milestones300_1260", {"iterations": LONG, "milestones": [300, 1260]}),
    ],
)
def test_a_schedule_of_another_shape_is_pooled_with_no_other(
    tmp_path: Path, override: str, schedule: dict[str, Any]
) -> None:
    write_lengths(tmp_path)
    before = length_figures._error_by_length(read(tmp_path))
    write(tmp_path, "plain", 18, override, 5.0, schedule=schedule)
    after = length_figures._error_by_length(read(tmp_path))
    assert before
    assert after
    assert drawn(after.axes[0]) == drawn(before.axes[0])


def test_one_kind_and_unfinished_runs_can_be_drawn(tmp_path: Path) -> None:
    write(tmp_path, "plain", 18, "", 60.0)
    write(tmp_path, "plain", 18, f"-iterations{LONG}-milestones1260", 40.0, **LONGER)
    (tmp_path / "runs" / f"plain-18-iterations{LONG}-milestones1260-s1" / "summary.json").unlink()
    figure = length_figures._error_by_length(read(tmp_path))
    assert figure
    assert drawn(figure.axes[0]) == [pytest.approx([60.5, 40.0])]
    assert [text.get_text() for text in figure.axes[1].texts] == ["no run has ended"]
    assert "1 unfinished left out" in figure.get_suptitle()


def test_curves_are_those_of_the_longest_training(tmp_path: Path) -> None:
    write_lengths(tmp_path)
    figure = length_figures._long_curves(read(tmp_path))
    assert figure
    assert figure.get_suptitle().startswith(f"Error curves of {LONG:,} iterations on CIFAR-10")
    ends = [np.asarray(line.get_ydata())[-1] for line in figure.axes[0].lines[1:]]
    assert min(ends) == pytest.approx(40.5)  # and not the 60.5 of the shorter runs
    assert [run.arm for run in length_figures.longest(read(tmp_path)).runs] == [
        *["plain-18"] * 2, *["plain-110"] * 2, *["residual-18"] * 2
    ]  # fmt: skip


def test_convergence_counts_those_that_did_not_get_there(tmp_path: Path) -> None:
    write_lengths(tmp_path)
    override = f"-iterations{LONG}-milestones1260"
    for kind, error in (("plain", 72.0), ("residual", 50.0)):
        write(tmp_path, kind, 34, override, error, **LONGER)
    one = write_run(tmp_path / "made", "residual", 34, 2, 75.0, **LONGER)  # only one of three
    one.rename(tmp_path / "runs" / f"residual-34{override}-s2")
    study = read(tmp_path)
    figure = length_figures._convergence(study)
    assert figure
    (axes,) = figure.axes
    told = [text.get_text().partition("\n")[0] for text in axes.texts]
    assert told == ["2 of 2", "2 of 2", "1 of 3"]  # plain nets of 34 and 110 layers, residual
    plain, residual = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert np.asarray(plain.get_xdata()) == pytest.approx([18 - 0.8])
    curves = {run.name: run.curves["train/error_pct"] for run in study.runs}
    first = [
        next(i for i, pct in zip(curve.iterations, curve.values, strict=True) if pct <= 70)
        for seed in (0, 1)
        for curve in [curves[f"residual-34{override}-s{seed}"]]
    ]
    assert np.asarray(residual.get_ydata())[1] == pytest.approx(sum(first) / 2)
    assert any(np.asarray(line.get_ydata()).tolist() == [1260, 1260] for line in axes.lines)


def test_redrawing_gives_the_same_bytes(tmp_path: Path) -> None:
    write_lengths(tmp_path)
    first = draw_own(length_figures.FIGURES, read(tmp_path), tmp_path)
    stems = ("lengths", "long_curves")  # two depths make no figure of how long a depth takes
    assert first.keys() == {f"{stem}.{form}" for stem in stems for form in ("png", "svg")}
    assert draw_own(length_figures.FIGURES, read(tmp_path), tmp_path) == first


def test_runs_of_one_length_are_nothing_to_draw(tmp_path: Path) -> None:
    write(tmp_path, "plain", 18, "", 60.0)
    write(tmp_path, "plain", 18, "-lr0.1", 10.0, optim={"lr": 0.1})
    assert not any(drawing.draw(read(tmp_path)) for drawing in length_figures.FIGURES)
