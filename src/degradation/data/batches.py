"""Batches from device-resident uint8 images: which images, how augmented, as a function of seed and
iteration alone.

Nothing here keeps state, so a resumed run, a run beside others and a run of another net see the
same images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from degradation import distributed
from degradation.config import VAL_IMAGES, DataConfig
from degradation.data.images import ImageSet

PART = 500
"""Images turned to float32 at a time, so few that the memory is used again, not asked for anew."""
GATHERED_TOGETHER = 20
"""Batches that a GPU gathers in one go: a launch then costs a twentieth of itself a step."""


@dataclass(frozen=True)
class Split:
    """Images with one extra, empty pixel at the end: what lies outside of the image."""

    images: Tensor
    """(N, P*P + 1, C) uint8; the last pixel is 0."""
    labels: Tensor
    """(N,) int64."""

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Split":
        return Split(self.images[:count], self.labels[:count])


@dataclass(frozen=True)
class Data:
    train: Split
    test: Split
    """The test set, or the held-out 5,000 training images for `data.split: val`."""
    mean: Tensor
    """(P*P + 1, C) float32: what is subtracted from images in [0, 1], in most cases the training
    images' per-pixel mean; the last pixel is 0.
    """
    pixels: int
    augment: bool
    scale: float = 1.0
    """What the difference is multiplied by."""


def prepare(images: ImageSet, cfg: DataConfig, device: torch.device) -> Data:
    """Split, pool and move to the device."""
    train_x, train_y = images.train_images, images.train_labels
    test_x, test_y = images.test_images, images.test_labels
    if cfg.split == "val":  # DEVIATION: the last 5,000, the paper does not say which
        test_x, test_y = train_x[-VAL_IMAGES:], train_y[-VAL_IMAGES:]
        train_x, train_y = train_x[:-VAL_IMAGES], train_y[:-VAL_IMAGES]
    count = cfg.train_images or len(train_x)
    train = _split(train_x[:count], train_y[:count], cfg.pixels, device)
    test = _split(test_x, test_y, cfg.pixels, device)
    if cfg.scaling == "mean_subtracted":
        return Data(train, test, _mean(train.images), cfg.pixels, cfg.augment)
    middle, scale = (0.5, 2.0) if cfg.scaling == "minus_one_to_one" else (0.0, 1.0)
    subtracted = torch.full(train.images.shape[1:], middle, device=device)
    subtracted[-1] = 0
    return Data(train, test, subtracted, cfg.pixels, cfg.augment, scale)


def _mean(images: Tensor) -> Tensor:
    """(N, P*P + 1, C) uint8 -> (P*P + 1, C) float32, in [0, 1].

    The sums are exact: whole numbers below 2**24, so float32 holds them; float64, which MPS does
    not have, only for the division.
    """
    total = torch.stack([part.float().sum(0) for part in torch.split(images, PART)]).sum(0)
    return total.cpu().double().div(len(images)).div(255).float().to(images.device)


def _split(images: np.ndarray, labels: np.ndarray, pixels: int, device: torch.device) -> Split:
    x = pool(torch.from_numpy(images), pixels)  # (N, C, P, P)
    padded = torch.zeros(len(x), pixels * pixels + 1, x.shape[1], dtype=torch.uint8)
    padded[:, :-1] = x.flatten(2).transpose(1, 2)
    return Split(padded.to(device), torch.from_numpy(labels.astype(np.int64)).to(device))


def pool(images: Tensor, pixels: int) -> Tensor:
    """(N, C, 32, 32) uint8 -> (N, C, pixels, pixels) uint8: means over squares, rounded half to
    even.
    """
    side = images.shape[-1] // pixels
    if side == 1:
        return images
    parts = torch.split(images, PART)
    return torch.cat([F.avg_pool2d(part.float(), side).round().to(torch.uint8) for part in parts])


def _generator(seed: int, epoch: int, purpose: int) -> torch.Generator:
    """Its own stream for each seed, epoch and purpose; SeedSequence mixes them so that no two
    coincide.
    """
    state = int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


@lru_cache(maxsize=64)  # an epoch and the next of each run in turns; a seed's arms share them
def permutation(seed: int, epoch: int, count: int) -> Tensor:
    """(count,) int64: the order of the images in an epoch."""
    return torch.randperm(count, generator=_generator(seed, epoch, 0))


@lru_cache(maxsize=64)
def augmentation(seed: int, epoch: int, count: int, pixels: int) -> Tensor:
    """(count, 3) int64: row and column of the crop in the padded image, and whether it is flipped,
    for each place.
    """
    generator = _generator(seed, epoch, 1)
    offsets = torch.randint(0, 2 * padding(pixels) + 1, (count, 2), generator=generator)
    flips = torch.randint(0, 2, (count, 1), generator=generator)
    return torch.cat([offsets, flips], 1)


def padding(pixels: int) -> int:
    """4 of 32 pixels (Sec. 4.2), in proportion for pooled images."""
    return pixels // 8


def draw(
    seed: int, iteration: int, batch_size: int, count: int, pixels: int, *, steps: int = 1
) -> tuple[Tensor, Tensor]:
    """The images of a batch (B,) and their augmentation (B, 3); of several, one after the other.

    DEVIATION: the epochs' permutations follow one another without a gap, so a batch may span two
    epochs and every batch is full. 50,000 is not a multiple of 128; the paper does not say what it
    did, usual scripts take one smaller batch an epoch, which is normalised over fewer images.
    """
    places = torch.arange(iteration * batch_size, (iteration + steps) * batch_size)
    indices, draws = [], []
    for epoch in range(int(places[0]) // count, int(places[-1]) // count + 1):
        here = places[places // count == epoch] % count
        indices.append(permutation(seed, epoch, count)[here])
        draws.append(augmentation(seed, epoch, count, pixels)[here])
    return torch.cat(indices), torch.cat(draws)


def source_pixels(draws: Tensor, pixels: int) -> Tensor:
    """(B, 3) draws -> (B, P*P): for each pixel of the crop the pixel of the image it shows, P*P
    where that is outside.
    """
    row, column, flip = (draws[:, i, None] for i in range(3))  # (B, 1)
    steps = torch.arange(pixels, device=draws.device)
    y = steps + row - padding(pixels)  # (B, P)
    x = torch.where(flip == 1, pixels - 1 - steps, steps) + column - padding(pixels)
    inside = ((y >= 0) & (y < pixels))[:, :, None] & ((x >= 0) & (x < pixels))[:, None, :]
    return torch.where(inside, y[:, :, None] * pixels + x[:, None, :], pixels * pixels).flatten(1)


def clean(data: Data, images: Tensor) -> Tensor:
    """(B, P*P + 1, C) uint8 -> (B, C, P, P) float32: images of a split as nets see them."""
    return normalise(images[:, :-1], data.mean[:-1], data)


def normalise(values: Tensor, mean: Tensor, data: Data) -> Tensor:
    """(B, P*P, C) uint8 -> (B, C, P, P) float32 in channels_last, the per-pixel mean subtracted."""
    x = values.float().div_(255).sub_(mean)
    x = x if data.scale == 1 else x.mul_(data.scale)
    return x.view(len(x), data.pixels, data.pixels, -1).permute(0, 3, 1, 2)


def train_batches(
    data: Data, seed: int, first: int, last: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (B, C, P, P) float32 and labels (B,) of the iterations from `first` to before `last`,
    of each batch what is this process's; on a GPU nothing waits for it.
    """
    together = GATHERED_TOGETHER if data.mean.is_cuda else 1
    for iteration in range(first, last, together):
        steps = min(together, last - iteration)
        images, labels = gather(data, seed, iteration, batch_size, steps)
        size = len(labels) // steps
        yield from zip(torch.split(images, size), torch.split(labels, size), strict=True)


def gather(
    data: Data, seed: int, iteration: int, batch_size: int, steps: int = 1
) -> tuple[Tensor, Tensor]:
    """Images (steps * B, C, P, P) and labels (steps * B,), this process's part of them."""
    drawn = draw(seed, iteration, batch_size, len(data.train), data.pixels, steps=steps)
    indices, draws = (distributed.share(values, batch_size) for values in drawn)
    indices = _to(data.mean.device, indices)
    labels = data.train.labels[indices]
    if not data.augment:
        return clean(data, data.train.images[indices]), labels
    source = source_pixels(_to(data.mean.device, draws), data.pixels)  # (steps * B, P*P)
    values = data.train.images[indices[:, None], source]  # the one gather
    return normalise(values, data.mean[source], data), labels


def _to(device: torch.device, values: Tensor) -> Tensor:
    """A copy out of pinned memory is the only one that a GPU makes without waiting."""
    return (
        values.pin_memory().to(device, non_blocking=True)
        if device.type == "cuda"
        else (values.to(device))
    )
