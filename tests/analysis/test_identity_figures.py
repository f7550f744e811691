"""The figure of identity_mapping: a panel a variant, the geometric mean over seeds."""

from pathlib import Path

import numpy as np
import pytest
from tests.analysis.synthetic import config

from degradation import records
from degradation.analysis import identity_figures
from degradation.analysis.sources import read


def write(folder: Path, name: str, values: list[float]) -> None:
    kind, depth, *_, seed = name.split("-")
    made = config(kind, int(depth), int(seed[1:]), schedule={"iterations": 20, "milestones": []})
    if "linear" in name:
        made["model"]["activation"] = "linear"
    writer = records.Writer(folder / "runs" / name, made, {})
    for iteration, value in zip((0, 10, 20), values, strict=True):
        writer.write({"iteration": iteration, "wall_s": 1.0, "probe/identity/net": value})
    writer.finish({"run": name, "status": records.FINISHED, "last": {}})
    writer.close()


def test_each_arm_has_its_seeds_and_their_geometric_mean(tmp_path: Path) -> None:
    for variant in ("", "-activationlinear"):
        write(tmp_path, f"plain-2{variant}-s0", [1.0, 0.1, 0.01])
        write(tmp_path, f"plain-2{variant}-s1", [1.0, 0.4, 0.04])
        write(tmp_path, f"residual-2{variant}-s0", [0.1, 0.1, 0.0])
    figure = identity_figures._distances(read(tmp_path))
    assert figure
    assert [axes.get_title() for axes in figure.axes] == ["ReLU, small weights", "linear"]
    lines = [np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].lines]
    assert any(line == pytest.approx([1.0, 0.2, 0.02]) for line in lines)
    assert any(line == pytest.approx([0.1, 0.1, identity_figures.FLOOR]) for line in lines)
