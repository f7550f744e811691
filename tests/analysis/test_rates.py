"""The choice of learning rates: the rule, what it refuses, the table it writes, its figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.analysis.synthetic import config, write_run

from degradation.analysis import figures, rate_figures, rates, tables
from degradation.analysis.curves import Study, StudyError
from degradation.analysis.sources import read

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "conf" / "chosen_lr.yaml"
PLAIN = {0.03: (61.0, 60.0), 0.003: (80.0, 70.0), 0.3: (50.0, None)}
RESIDUAL = {0.03: (50.0, 51.0), 0.003: (51.0, 50.0), 0.3: (None, None)}


def write(folder: Path, kind: str, lr: float, errors: Sequence[float | None]) -> None:
    """Runs of 18 layers with seeds from 100 up; the synthetic test error is 1.5 above."""
    for seed, error in enumerate(errors, 100):
        data = {**config(kind, 18, seed)["data"], "split": "val"}
        path = write_run(folder / "made", kind, 18, seed, error, data=data, optim={"lr": lr})
        target = folder / "runs" / f"{kind}-18{'' if lr == 0.03 else f'-lr{lr:g}'}-s{seed}"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    for kind, cells in (("plain", PLAIN), ("residual", RESIDUAL)):
        for lr, errors in cells.items():
            write(tmp_path, kind, lr, errors)
    return read(tmp_path)


def test_the_least_mean_is_chosen_and_of_equal_ones_the_lower_rate(study: Study) -> None:
    # plain at 0.3: (51.5 + 90) / 2, though its one finished run is the best of all
    chosen = rates.choose(study)
    assert chosen == {"plain-18": 0.03, "residual-18": 0.003}
    assert rates.at_the_edge(study, chosen) == ["residual-18"]
    assert rates.at_the_edge(study, {"plain-18": 0.3, "residual-18": 0.03}) == ["plain-18"]


def test_nothing_is_chosen_from_a_grid_with_gaps(tmp_path: Path) -> None:
    write(tmp_path, "plain", 0.03, (61.0, 60.0))
    write(tmp_path, "plain", 0.3, (50.0,))
    with pytest.raises(StudyError, match=r"plain-18 at 0.3 has seeds \[100\], another .*101\]"):
        rates.choose(read(tmp_path))


def test_runs_that_saw_all_images_choose_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 18, 0, 60.0, optim={"lr": 0.1})
    with pytest.raises(StudyError, match=r"no ended run with data\.split=val"):
        rates.choose(read(tmp_path))


def test_table_keeps_its_head_and_the_other_preset(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text("# How it is made.\n")
    rates.write(path, "paper", {"plain-18": 0.1})
    rates.write(path, "quick", {"plain-18": 0.03})
    rates.write(path, "quick", {"plain-18": 0.003})
    assert path.read_text().startswith("# How it is made.\n")
    expected = {"paper": {"plain-18": 0.1}, "quick": {"plain-18": 0.003}}
    assert yaml.safe_load(path.read_text()) == expected


def test_the_table_is_what_the_published_runs_choose_and_lr_fair_ran_at() -> None:
    for preset, chosen in (yaml.safe_load(TABLE.read_text()) or {}).items():
        assert rates.choose(read(ROOT / "results" / "lr_choice" / preset)) == chosen
        fair = ROOT / "results" / "lr_fair" / preset
        for run in read(fair).runs if fair.is_dir() else []:
            assert run.config["optim"]["lr"] == chosen[run.arm]


def test_figure_rings_the_chosen_rate(study: Study, tmp_path: Path) -> None:
    figure = rate_figures._error_by_rate(study)
    assert figure
    rings = [
        (float(np.asarray(line.get_xdata())[0]), float(np.asarray(line.get_ydata())[0]))
        for axes in figure.axes for line in axes.lines if line.get_markersize() == 13
    ]  # fmt: skip
    assert np.array(rings) == pytest.approx(np.array([(0.03, 62.0), (0.003, 52.0)]))
    assert {path.name for path in figures.draw(study, tmp_path)} > {"rates.png", "rates.svg"}


def test_held_out_errors_are_called_so_and_stand_beside_no_paper(tmp_path: Path) -> None:
    for split in ("val", "full"):
        folder = tmp_path / split
        data = {"name": "cifar10", "split": split}
        write_run(folder, "plain", 56, 0, 40.0, data=data, optim={"lr": 0.1})
        write_run(folder, "plain", 110, 0, 60.0, data=data, optim={"lr": 0.01})
    held_out, tested = (read(tmp_path / split) for split in ("val", "full"))
    head, row, _ = tables.arm_rows(held_out, "test/error_pct", "test")
    assert ("held out" in head[2], row[1]) == (True, "")
    head, row, _ = tables.arm_rows(tested, "test/error_pct", "test")
    assert ("held out" in head[2], row[1]) == (False, "13.25")
    assert tables.rates_text(tested) == "plain-56 0.1, plain-110 0.01"
