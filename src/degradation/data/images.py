"""A data set as arrays, by name."""

import functools
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from degradation.data import cifar10, mnist, shapes, uniform
from degradation.data.archives import DataError
from degradation.data.download import DownloadError

__all__ = [
    "DataError",
    "DownloadError",
    "ImageSet",
    "download_bytes",
    "find_images",
    "load_images",
]

KEPT: dict[str, ModuleType] = {"cifar10": cifar10, "mnist": mnist}
"""Sets that are files, in the user's folder or the cache; the others are made."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their labels, ten classes; decoded, nothing subtracted or scaled."""

    name: str
    """A key of `config.DATA_SETS`; every record, figure and report carries it."""
    train_images: NDArray[np.uint8]
    """(N, C, P, P), of CIFAR-10 (50000, 3, 32, 32), RGB."""
    train_labels: NDArray[np.int64]
    """(N,), 0 to 9."""
    test_images: NDArray[np.uint8]
    """(M, C, P, P)."""
    test_labels: NDArray[np.int64]
    """(M,), 0 to 9."""


@functools.cache
def load_images(name: str, root: str | None) -> ImageSet:
    """The set `name`, loaded once a process: do not write to its arrays.

    `root` is the user's folder for `cifar10` and `mnist`, None for the cache folder; the others
    need neither. Raises DataError; its subclass DownloadError where a set is out of reach.
    """
    if name in KEPT:
        return ImageSet(name, *KEPT[name].load(root))
    assert name in ("shapes", "uniform"), name
    return ImageSet(name, *(shapes if name == "shapes" else uniform).make())


def find_images(name: str, root: str | None) -> Path | None:
    """Where `load_images` would take the set from, verified, without a download and without writing
    anything; None for a set that is made, not kept. Raises DataError.
    """
    return KEPT[name].find(root) if name in KEPT else None


def download_bytes(name: str) -> int:
    """Room in the cache folder for a set that is not there."""
    return KEPT[name].DOWNLOAD_BYTES if name in KEPT else 0
