"""A data set as arrays, by name."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from degradation.data import cifar10, shapes
from degradation.data.archives import DataError
from degradation.data.download import DownloadError

__all__ = ["DataError", "DownloadError", "ImageSet", "load_images"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their labels, ten classes; decoded, nothing subtracted or scaled."""

    name: str
    """`cifar10` or `shapes`; every record, figure and report carries it."""
    train_images: NDArray[np.uint8]
    """(50000, 3, 32, 32), RGB."""
    train_labels: NDArray[np.int64]
    """(50000,), 0 to 9."""
    test_images: NDArray[np.uint8]
    """(10000, 3, 32, 32), RGB."""
    test_labels: NDArray[np.int64]
    """(10000,), 0 to 9."""


@functools.cache
def load_images(name: str, root: str | None) -> ImageSet:
    """The set `name`, loaded once a process: do not write to its arrays.

    `root` is the user's folder for `cifar10`, None for the cache folder; `shapes` needs neither.
    Raises DataError; its subclass DownloadError where CIFAR-10 is out of reach.
    """
    if name == "cifar10":
        return ImageSet(name, *cifar10.load(root))
    assert name == "shapes", name
    return ImageSet(name, *shapes.make())
