"""Batches against NumPy and torchvision's own pad, crop and flip."""

import random

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from numpy.typing import NDArray
from tests.helpers import make_config, noise_images
from torch import Tensor

from degradation.config import DataConfig
from degradation.data.batches import (
    augmentation,
    draw,
    gather,
    normalise,
    padding,
    permutation,
    pool,
    prepare,
    source_pixels,
    train_batches,
)

CPU = torch.device("cpu")
PADDING = {32: 4, 16: 2, 8: 1}
"""Sec. 4.2, and in proportion."""


def data_config(*overrides: str) -> DataConfig:
    return make_config(*(f"data.{override}" for override in overrides), preset="paper").data


def pooled(images: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Means over squares, in NumPy, which rounds half to even too."""
    side = 32 // pixels
    squares = images.reshape(len(images), 3, pixels, side, pixels, side)
    means: NDArray[np.float64] = squares.mean((3, 5), dtype=np.float64)
    return np.round(means).astype(np.uint8)


@pytest.mark.parametrize("pixels", [32, 16, 8])
def test_pooling_against_numpy(pixels: int) -> None:
    images = noise_images(train=7).train_images
    assert np.array_equal(pool(torch.from_numpy(images), pixels).numpy(), pooled(images, pixels))


def test_pooling_rounds_half_to_even() -> None:
    square = torch.tensor([[0, 1], [1, 0]], dtype=torch.uint8)  # mean 0.5
    images = torch.cat([square.tile(16, 16)[None], square.tile(16, 16)[None] + 1])[None]
    assert set(pool(images, 16).flatten().tolist()) == {0, 2}


@pytest.mark.parametrize("pixels", [32, 16])
def test_mean_is_numpys(pixels: int) -> None:
    images = noise_images()
    data = prepare(images, data_config(f"pixels={pixels}"), CPU)
    expected = pooled(images.train_images, pixels).mean(0, dtype=np.float64) / 255  # (3, P, P)
    expected = expected.reshape(3, -1).T
    np.testing.assert_allclose(data.mean[:-1].numpy(), expected, rtol=0, atol=1e-7)
    assert not data.mean[-1].any()


def test_mean_is_of_the_images_trained_on() -> None:
    images = noise_images()
    data = prepare(images, data_config("train_images=200"), CPU)
    expected = images.train_images[:200].mean(0, dtype=np.float64).reshape(3, -1).T / 255
    np.testing.assert_allclose(data.mean[:-1].numpy(), expected, rtol=0, atol=1e-7)
    assert len(data.train) == 200
    assert np.array_equal(data.train.labels.numpy(), images.train_labels[:200])


def test_validation_split() -> None:
    images = noise_images(train=5_300)
    data = prepare(images, data_config("split=val", "pixels=8"), CPU)
    assert (len(data.train), len(data.test)) == (300, 5_000)
    small = pooled(images.train_images, 8).reshape(-1, 3, 64).transpose(0, 2, 1)
    assert np.array_equal(data.train.images[:, :-1].numpy(), small[:300])
    assert np.array_equal(data.test.images[:, :-1].numpy(), small[300:])
    assert np.array_equal(data.test.labels.numpy(), images.train_labels[300:])


def test_full_split_of_cifar10(cifar10_root: object) -> None:
    from degradation.data.images import load_images

    images = load_images("cifar10", str(cifar10_root))
    data = prepare(images, data_config("split=val", "pixels=8"), CPU)
    assert (len(data.train), len(data.test)) == (45_000, 5_000)
    data = prepare(images, data_config("pixels=8"), CPU)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.train.labels.bincount().tolist() == [5_000] * 10


def torchvisions(image: Tensor, row: int, column: int, flip: int) -> Tensor:
    """(3, P, P) float, the mean subtracted already -> its padded crop, flipped or not."""
    pixels = image.shape[-1]
    crop: Tensor = TF.crop(TF.pad(image, [PADDING[pixels]] * 4), row, column, pixels, pixels)
    flipped: Tensor = TF.hflip(crop)
    return flipped if flip else crop


def test_padding_is_an_eighth_of_the_side_and_crops_reach_its_end() -> None:
    assert {pixels: padding(pixels) for pixels in PADDING} == PADDING
    assert augmentation(0, 0, 50_000, 32).amax(0).tolist() == [8, 8, 1]


@pytest.mark.parametrize("pixels", [32, 16, 8])
def test_every_augmentation_equals_torchvisions(pixels: int) -> None:
    images = noise_images(train=40)
    data = prepare(images, data_config(f"pixels={pixels}"), CPU)
    places = 2 * PADDING[pixels] + 1
    draws = torch.cartesian_prod(torch.arange(places), torch.arange(places), torch.arange(2))
    chosen = torch.arange(len(draws)) % len(data.train)
    source = source_pixels(draws, pixels)
    ours = normalise(data.train.images[chosen[:, None], source], data.mean[source], data)
    clean = torch.from_numpy(pooled(images.train_images, pixels)).float() / 255
    clean -= data.mean[:-1].T.reshape(3, pixels, pixels)
    for image, index, (row, column, flip) in zip(ours, chosen, draws.tolist(), strict=True):
        assert torch.equal(image, torchvisions(clean[index], row, column, flip))


def test_what_lies_outside_of_a_scaled_image_is_zero() -> None:
    data = prepare(noise_images(train=4), data_config("scaling=minus_one_to_one"), CPU)
    source = source_pixels(torch.tensor([[0, 0, 0]]), 32)  # the corner farthest outside
    image = normalise(data.train.images[:1][:, source[0]], data.mean[source], data)[0]
    assert not image[:, :4].any()
    assert not image[:, :, :4].any()
    clean = noise_images(train=4).train_images[0, :, :28, :28] / 255 * 2 - 1
    np.testing.assert_allclose(image[:, 4:, 4:].numpy(), clean, atol=1e-6)


def test_a_batch_is_the_drawn_images_augmented() -> None:
    images = noise_images()
    data = prepare(images, data_config(), CPU)
    batch, labels = gather(data, seed=3, iteration=4, batch_size=60)  # spans two epochs
    indices, draws = draw(3, 4, 60, 256, 32)
    clean = torch.from_numpy(images.train_images).float() / 255
    clean -= data.mean[:-1].T.reshape(3, 32, 32)
    for place in range(60):
        expected = torchvisions(clean[indices[place]], *draws[place].tolist())
        assert torch.equal(batch[place], expected)
    assert np.array_equal(labels.numpy(), images.train_labels[indices])
    assert batch.shape == (60, 3, 32, 32)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augment", [True, False])
def test_several_batches_in_one_go_are_the_batches(augment: bool) -> None:
    data = prepare(noise_images(), data_config(f"augment={augment}"), CPU)
    images, labels = gather(data, seed=3, iteration=2, batch_size=60, steps=4)
    batches = list(train_batches(data, seed=3, first=2, last=6, batch_size=60))
    assert len(batches) == 4
    assert torch.equal(images, torch.cat([batch for batch, _ in batches]))
    assert torch.equal(labels, torch.cat([labels for _, labels in batches]))
    assert all(
        torch.equal(batch, gather(data, 3, iteration, 60)[0])
        for iteration, (batch, _) in enumerate(batches, 2)
    )


def test_without_augmentation_the_images_are_whole() -> None:
    images = noise_images()
    data = prepare(images, data_config("augment=false"), CPU)
    batch, _ = gather(data, seed=3, iteration=0, batch_size=50)
    indices, _ = draw(3, 0, 50, 256, 32)
    mean = data.mean[:-1].T.reshape(3, 32, 32)
    assert torch.equal(batch, torch.from_numpy(images.train_images)[indices].float() / 255 - mean)


def test_every_epoch_is_a_permutation_and_every_batch_full() -> None:
    count, batch_size = 50, 12  # batches 4 and 8 span two epochs
    batches = [draw(0, iteration, batch_size, count, 32) for iteration in range(25)]
    assert all(len(indices) == batch_size == len(draws) for indices, draws in batches)
    epochs = torch.cat([indices for indices, _ in batches]).view(-1, count)
    assert len(epochs) == 6
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(count))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 6
    draws = torch.cat([draws for _, draws in batches]).view(6, -1)
    assert len({tuple(epoch.tolist()) for epoch in draws}) == 6


def test_a_batch_larger_than_an_epoch() -> None:
    indices, _ = draw(0, 0, 130, 50, 32)
    assert indices.bincount().tolist()[:50].count(0) == 0
    assert sorted(indices[50:100].tolist()) == list(range(50))


def test_order_depends_on_the_seed_alone() -> None:
    permutation.cache_clear()
    augmentation.cache_clear()
    indices, draws = draw(0, 7, 32, 256, 32)
    permutation.cache_clear()
    augmentation.cache_clear()
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    again, draws_again = draw(0, 7, 32, 256, 32)
    assert torch.equal(indices, again)
    assert torch.equal(draws, draws_again)
    other, other_draws = draw(1, 7, 32, 256, 32)
    assert not torch.equal(indices, other)
    assert not torch.equal(draws, other_draws)


def test_order_and_augmentation_are_those_of_the_committed_records() -> None:
    assert permutation(0, 0, 8).tolist() == [3, 2, 5, 1, 7, 4, 6, 0]
    assert augmentation(0, 0, 4, 32).tolist() == [[3, 1, 1], [7, 8, 0], [5, 3, 1], [6, 5, 1]]


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draw(12, 34, 32, 256, 32)
    assert torch.equal(torch.rand(3), expected)


def test_streams_do_not_coincide() -> None:
    """Seed, epoch and purpose are not summed or the like: neighbours differ."""
    orders = {
        tuple(permutation(seed, epoch, 30).tolist()) for seed in range(8) for epoch in range(8)
    }
    assert len(orders) == 64
    largest = 2**32 - 1
    assert not torch.equal(permutation(largest, 0, 30), permutation(0, largest, 30))


@pytest.mark.parametrize("pixels", [32, 16, 8])
def test_draws_are_uniform(pixels: int) -> None:
    draws = augmentation(0, 0, 50_000, pixels)
    places = 2 * PADDING[pixels] + 1
    for column, values in ((0, places), (1, places), (2, 2)):
        counts = draws[:, column].bincount().double()
        assert len(counts) == values
        expected = 50_000 / values
        chi_squared = ((counts - expected) ** 2 / expected).sum().item()
        assert chi_squared < 30  # of up to 8 degrees of freedom: p < 0.001
