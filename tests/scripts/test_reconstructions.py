"""A trained autoencoder and the picture of what it makes of test digits."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from tests.helpers import call, lines_of, read_json

from degradation.data.mnist import load
from degradation.nets.autoencoder import Autoencoder
from degradation.probes import first_layer

RUN = (
    "+experiment=autoencoder",
    "data.scaling=minus_one_to_one",
    "seed=0",
    "data.train_images=128",
    "schedule.iterations=4",
    "trainer.record_every=2",
    "trainer.eval_every=0",
    "trainer.checkpoint_every=2",
    "tracking=off",
    "hardware.threads=1",
)


ROOT = Path(__file__).parents[2]


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/reconstructions.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_from_the_command_to_the_picture(mnist_root: Path, tmp_path: Path) -> None:
    for kind in ("plain", "residual"):
        assert (
            call(*RUN, f"model.kind={kind}", f"data.root={mnist_root}", f"output_root={tmp_path}")
            == 0
        )
    study = tmp_path / "autoencoder/quick"
    (plain, residual) = sorted((study / "runs").iterdir())
    start, *_, last = lines_of(plain)
    assert start["probe/first_layer/l2"] > 0
    assert {"train/loss", "eval/train_loss", "test/loss"} <= last.keys()
    assert not [key for key in last if "error" in key]
    assert read_json(residual / "summary.json")["status"] == "finished"
    for run in (plain, residual):
        run.rename(run.with_name(f"{run.name.split('-')[0]}-4-s0"))
    picture = tmp_path / "digits.png"
    where = ("--study", study, "--target", picture, "--data-root", mnist_root)
    assert script(*where).returncode == 0
    height, width, _ = imread(picture).shape
    assert width > height > 100


def test_without_runs_it_is_one_line(tmp_path: Path) -> None:
    done = script("--study", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}: no runs of seed 0")
    assert done.stderr.count("\n") == 1


def test_gradient_of_the_first_layer_by_finite_differences() -> None:
    """In float64, along the gradient itself: the loss rises by its squared norm a step."""
    torch.manual_seed(0)
    model = Autoencoder(residual=True).double()
    images = torch.rand(8, 1, 28, 28, dtype=torch.float64) * 2 - 1
    row = first_layer.measure(model, images, torch.zeros(8))
    step = 1e-5
    loss = model.loss(model(images), images)
    (grad,) = torch.autograd.grad(loss, [model.conv1.weight])
    losses = []
    for side in (1, -1):
        with torch.no_grad():
            model.conv1.weight += side * step * grad
            losses.append(model.loss(model(images), images).item())
            model.conv1.weight -= side * step * grad
    slope = (losses[0] - losses[1]) / (2 * step)
    assert row["probe/first_layer/l2"] == pytest.approx(slope**0.5, rel=1e-3)
    assert row["probe/first_layer/min"] <= row["probe/first_layer/mean"]
    assert row["probe/first_layer/max"] >= row["probe/first_layer/mean"]


def test_the_floor_stated_in_the_readme(mnist_root: Path) -> None:
    """Mean of min(x, 0)^2 over the pixels, which a net with outputs above 0 cannot beat."""
    train, _, test, _ = load(str(mnist_root))
    for images, floor in ((train, 0.8327), (test, 0.8311)):
        x = images / 127.5 - 1
        assert (x.clip(max=0) ** 2).mean() == pytest.approx(floor, abs=1e-4)
