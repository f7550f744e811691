"""The usual script trains what it should, and the contestants differ in nothing but the loop."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.helpers import noise_data, tiny_config

from degradation.benchmark import throughput, usual
from degradation.data.archives import DataError
from degradation.data.cifar10 import BATCHES
from degradation.nets import build_model


def test_the_usual_script_reads_normalised_cifar10(cifar10_root: Path) -> None:
    images, labels = next(usual.batches(cifar10_root, 256, workers=0))
    assert images.shape == (256, 3, 32, 32)
    assert labels.dtype == torch.int64
    assert set(labels.tolist()) == set(range(10))
    black, white = -0.4914 / 0.2023, (1 - 0.4914) / 0.2023  # of the first channel
    assert images[:, 0].min().item() == pytest.approx(black, abs=1e-4)
    assert images[:, 0].max().item() == pytest.approx(white, abs=1e-4)


def test_the_usual_script_gets_no_batch_that_is_not_the_official_one(
    cifar10_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the decoded set is in the cache, which is read without a look at them."""
    folder = tmp_path / BATCHES
    folder.mkdir()
    for path in (cifar10_root / BATCHES).iterdir():
        (folder / path.name).symlink_to(path)
    monkeypatch.setenv("DEGRADATION_CACHE", str(tmp_path))
    assert throughput.batches_folder(None) == throughput.batches_folder(str(tmp_path)) == tmp_path
    meta = folder / "batches.meta"
    content = meta.read_bytes()
    meta.unlink()
    meta.write_bytes(content[:-1] + b"!")
    for root in (None, str(tmp_path)):
        with pytest.raises(DataError, match=r"batches\.meta: SHA-256"):
            throughput.batches_folder(root)


def test_the_usual_script_learns() -> None:
    cfg = tiny_config()
    data = noise_data(cfg)
    batch = (data.train.images[:32, :-1].float().view(32, 8, 8, 3).permute(0, 3, 1, 2) / 255,)
    batches = itertools.repeat((*batch, data.train.labels[:32]))
    losses = list(itertools.islice(usual.train(build_model(cfg.model), batches, every=10), 4))
    assert losses[-1] < 0.5 * losses[0]


def test_contestants_train_the_same_net_on_batches_of_the_same_size() -> None:
    fp32, bf16 = throughput.paper(20, "fp32"), throughput.paper(20, "bf16")
    assert (fp32.model, fp32.data, fp32.optim) == (bf16.model, bf16.data, bf16.optim)
    assert (fp32.trainer.precision, bf16.trainer.precision) == ("fp32", "bf16")
    assert (fp32.model.kind, fp32.model.depth, fp32.model.width) == ("residual", 20, 16)
    assert (fp32.data.pixels, fp32.data.augment, fp32.trainer.batch_size) == (32, True, 128)


def test_own_run_is_the_training_loop_without_evaluations() -> None:
    cfg = tiny_config(
        "trainer.record_every=4", "trainer.eval_every=0", "trainer.checkpoint_every=0"
    )
    row = next(throughput.own_run(cfg, noise_data(cfg)))
    assert row["iteration"] == 4
    assert {key for key in row if "/" in key} == {"train/loss", "train/error_pct"}


def test_contestants_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "REFILL_S", 0.0)
    order: list[str] = []

    def contestant(name: str) -> Iterator[None]:
        while True:
            order.append(name)
            yield

    names = ("usual", "fp32")
    runs = {name: contestant(name) for name in names}
    counts = []
    for found in throughput.in_turn(runs, turns=2, rounds=2):
        counts.append({name: len(rates) for name, rates in found.items()})
    assert order == (["usual"] * 3 + ["fp32"] * 3) * 3
    assert counts == [{"usual": 1, "fp32": 1}, {"usual": 2, "fp32": 2}]


def test_numbers_are_ratios_of_rounds_with_targets() -> None:
    part = throughput.numbers(20, {"usual": [100.0, 50.0], "fp32": [150.0, 100.0]})
    assert part["resnet20/usual"]["median"] == 75
    assert part["resnet20/fp32_over_usual"]["median"] == 1.75
    assert part["resnet20/fp32_over_usual"]["met"]
    assert "resnet20/bf16_over_usual" not in part


def test_without_the_batches_there_is_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cifar-10-batches-py"):
        throughput.measure(str(tmp_path))
