"""The figure of what the effect needs: drawn for such a study alone, of the right numbers."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.analysis.drawn import draw_own
from tests.analysis.synthetic import config, write_run

from degradation.analysis import variant_figures
from degradation.analysis.curves import Study
from degradation.analysis.sources import read

FINAL_PCT = {
    ("plain", 18): 60.0,
    ("plain", 56): 80.0,
    ("residual", 18): 50.0,
    ("residual", 56): 52.0,
}


def write(folder: Path, override: str = "", rise_pct: float = 0.0, **model: str) -> None:
    """Two seeds of each arm, the residual ones with `rise_pct` more."""
    for (kind, depth), error in FINAL_PCT.items():
        for seed in (0, 1):
            made = config(kind, depth, seed)["model"] | model
            final = error + seed + rise_pct * (kind == "residual")
            path = write_run(folder / "made", kind, depth, seed, final, model=made)
            target = folder / "runs" / f"{kind}-{depth}{override}-s{seed}"
            target.parent.mkdir(exist_ok=True)
            path.rename(target)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    write(tmp_path)
    write(tmp_path, "-shortcutC", 7.0, shortcut="C")
    write(tmp_path, "-orderpre", 9.0, order="pre")
    return read(tmp_path)


def means(figure: Figure) -> list[list[float]]:
    """Of the lines from shallow to deep, from the top row down."""
    lines = [line for line in figure.axes[0].lines if line.get_linewidth() == 1.4]
    return [np.asarray(line.get_xdata()).tolist() for line in lines]


def test_rows_in_the_order_of_their_labels(study: Study) -> None:
    figure = variant_figures._rises(study)
    assert figure
    labels = [label.get_text().split(":")[0] for label in figure.axes[0].get_yticklabels()]
    assert labels == ["baseline", "pre-activation", "shortcut C"]
    plain = [60.5, 80.5]
    rows = [plain, [50.5, 52.5], plain, [59.5, 61.5], plain, [57.5, 59.5]]
    assert np.array(means(figure)) == pytest.approx(np.array(rows))


def test_diverged_runs_are_told(study: Study, tmp_path: Path) -> None:
    write_run(tmp_path, "residual", 56, 2, None)
    figure = variant_figures._rises(read(tmp_path))
    assert figure
    assert "1 of 3 diverged" in [text.get_text() for text in figure.axes[0].texts]
    assert means(figure)[1] == [50.5, pytest.approx((52 + 53 + 90) / 3)]


def test_redrawing_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    first = draw_own(variant_figures.FIGURES, study, tmp_path)
    assert first.keys() == {"rises.png", "rises.svg"}
    assert draw_own(variant_figures.FIGURES, study, tmp_path) == first


def test_without_variants_or_with_more_depths_there_is_nothing_to_draw(tmp_path: Path) -> None:
    write(tmp_path)
    assert variant_figures._rises(read(tmp_path)) is None
    write(tmp_path, "-orderpre", order="pre")
    write_run(tmp_path, "plain", 34, 0, 70.0)
    assert variant_figures._rises(read(tmp_path)) is None
