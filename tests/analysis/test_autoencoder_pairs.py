"""Pairs of autoencoders: the same seed with and without the shortcut, before the first step."""

from pathlib import Path

from tests.analysis.synthetic import config

from degradation.analysis.autoencoder_figures import L2, _pairs
from degradation.analysis.sources import read
from degradation.records import FINISHED, Writer


def write(study: Path, kind: str, seed: int, *gradients: float) -> None:
    """A run with the gradient's norm before the first step and later, or without any."""
    writer = Writer(study / "runs" / f"{kind}-4-s{seed}", config(kind, 4, seed), {})
    for iteration, norm in enumerate(gradients):
        writer.write({"iteration": iteration, L2: norm})
    writer.finish({"status": FINISHED, "last": {}})
    writer.close()


def test_a_dot_is_a_seed_that_both_kinds_have_before_any_step(tmp_path: Path) -> None:
    for seed, norm in enumerate((0.1, 0.2, 0.3, 0.4)):
        write(tmp_path, "plain", seed, norm, 9.0)
    for seed, norms in ((1, [0.6, 9.0]), (0, [0.5, 9.0]), (2, []), (7, [0.7, 9.0])):
        write(tmp_path, "residual", seed, *norms)
    assert _pairs(read(tmp_path), "").tolist() == [[0.1, 0.5], [0.2, 0.6]]
    assert len(_pairs(read(tmp_path), "lr0.1")) == 0
