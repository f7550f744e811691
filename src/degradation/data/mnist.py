"""MNIST (LeCun, Cortes and Burges): verified before it is read."""

import contextlib
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from degradation.data.archives import (
    Arrays,
    DataError,
    Sum,
    cache_folder,
    locked,
    users_folder,
    verify,
)
from degradation.data.download import DownloadError, download

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
RAW = "MNIST/raw"
"""As torchvision lays it out."""
SUMS = {
    "train-images-idx3-ubyte": Sum(
        47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": Sum(
        60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte": Sum(
        7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": Sum(
        10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
ARCHIVE_SUMS = {
    "train-images-idx3-ubyte": Sum(
        9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte": Sum(
        28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte": Sum(
        1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte": Sum(
        4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
DOWNLOAD_BYTES = sum(one.size for one in (*SUMS.values(), *ARCHIVE_SUMS.values()))
"""Room that a download takes in the cache folder, at most."""
WAYS_OUT = f"""ways out:
  1. Run the same command again later: the download goes on from what has arrived.
  2. Fetch the four files by hand, unpack them into a folder {RAW}/
     and set data.root=<the folder that holds it> (make: DATA_ROOT=<folder>)."""


def load(root: str | None) -> Arrays:
    """MNIST from the user's folder `root`; if None, the cache folder, filled by download.

    Verified on every start, nothing is written to `root`. Images (N, 1, 28, 28). Raises DataError.
    """
    folder = _users_folder(root) if root is not None else _cached()
    images = {name: _idx(folder / name) for name in SUMS}
    train_x, train_y, test_x, test_y = images.values()
    return train_x[:, None], train_y.astype(np.int64), test_x[:, None], test_y.astype(np.int64)


def find(root: str | None) -> Path:
    """What `load` would take, as it is verified there; nothing is written. Raises DataError, also
    where `load` would download.
    """
    if root is not None:
        return _users_folder(root)
    _verify(cache_folder() / RAW)
    return cache_folder() / RAW


def _users_folder(root: str) -> Path:
    folder = users_folder(root)
    if not folder.is_dir():
        found = "not a folder" if folder.exists() else "no such folder"
        raise DataError(f"data.root={root}: {found}; expected one that holds {RAW}/")
    if not (folder / RAW).is_dir():
        raise DataError(f"data.root={root}: holds no {RAW}/")
    _verify(folder / RAW)
    return folder / RAW


def _verify(folder: Path) -> None:
    for name, expected in SUMS.items():
        verify(folder / name, expected)


def _cached() -> Path:
    cache = cache_folder()
    folder = cache / RAW
    with locked(cache / "mnist.lock"):
        with contextlib.suppress(DataError):
            _verify(folder)
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        for name, expected in SUMS.items():
            _fetch(name, folder, expected)
    return folder


def _fetch(name: str, folder: Path, expected: Sum) -> None:
    """One file, unpacked; its archive is gone afterwards."""
    archive = folder / f"{name}.gz"
    try:
        download([f"{mirror}{archive.name}" for mirror in MIRRORS], archive, ARCHIVE_SUMS[name])
    except DownloadError as error:
        raise DownloadError(f"{error}\n{WAYS_OUT}") from None
    fresh = folder / f".{name}.part"
    fresh.write_bytes(gzip.decompress(archive.read_bytes()))
    verify(fresh, expected)
    fresh.replace(folder / name)
    archive.unlink()


def _idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes, verified: two zeros, type 8, the rank, the sizes as 32-bit big-endian
    numbers, the values.
    """
    content = path.read_bytes()
    sizes = np.frombuffer(content, ">i4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes).copy()
