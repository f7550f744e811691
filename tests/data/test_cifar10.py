"""CIFAR-10 from every source, and every way a source can be wrong."""

import hashlib
import os
import pickle
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers import serving

from degradation.data import cifar10
from degradation.data.archives import Arrays, DataError, Sum
from degradation.data.images import DownloadError, load_images

BATCHES = "cifar-10-batches-py"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no server within reach."""
    monkeypatch.setenv("DEGRADATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "MIRRORS", ("http://127.0.0.1:1/cifar-10-python.tar.gz",))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path, cifar10_root: Path) -> Path:
    """A user's folder with the real batches, each of which a test may replace."""
    folder = tmp_path / "root" / BATCHES
    folder.mkdir(parents=True)
    for name in cifar10.BATCH_SUMS:
        (folder / name).symlink_to(cifar10_root / BATCHES / name)
    return folder.parent


@pytest.fixture(scope="session")
def expected(cifar10_root: Path) -> Arrays:
    """The set as the unpickled batches have it, without torchvision."""
    images, labels = [], []
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        with (cifar10_root / BATCHES / name).open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # New NumPy about the pickles of an early one.
            batch = pickle.load(file, encoding="latin1")
        images.append(batch["data"].reshape(-1, 3, 32, 32))
        labels.append(np.array(batch["labels"]))
    return np.concatenate(images[:5]), np.concatenate(labels[:5]), images[5], labels[5]


def assert_same(found: Arrays, expected: Arrays) -> None:
    ours: list[NDArray[np.integer]] = [*found]
    theirs: list[NDArray[np.integer]] = [*expected]
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert np.array_equal(one, other)
    assert [array.dtype.name for array in ours] == ["uint8", "int64", "uint8", "int64"]


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def test_the_set_is_the_official_one(root: Path, expected: Arrays) -> None:
    before = snapshot(root)
    found = cifar10.load(str(root))
    assert_same(found, expected)
    # The published mean and deviation of the training images' channels.
    pixels = found[0] / np.float32(255)
    assert pixels.mean((0, 2, 3)) == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
    assert pixels.std((0, 2, 3)) == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-4)
    assert snapshot(root) == before


def test_a_second_start_takes_the_decoded_set(root: Path, cache: Path, expected: Arrays) -> None:
    cifar10.load(str(root))
    assert [path.name for path in cache.iterdir()] == [cifar10.DECODED]
    program = (
        "import sys; from degradation.data.cifar10 import load; "
        f"load({str(root)!r}); load(None); sys.exit('torchvision' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ))
    assert_same(cifar10.load(None), expected)


@pytest.mark.parametrize("damage", ["bit", "truncated"])
def test_a_damaged_decoded_set_is_made_again(
    root: Path, cache: Path, expected: Arrays, damage: str
) -> None:
    cifar10.load(str(root))
    path = cache / cifar10.DECODED
    good = path.read_bytes()
    path.write_bytes(good[:-1] + (bytes([good[-1] ^ 1]) if damage == "bit" else b""))
    assert_same(cifar10.load(str(root)), expected)
    assert path.read_bytes() == good


def test_a_root_that_is_the_batches_folder_itself_will_do(root: Path, expected: Arrays) -> None:
    assert_same(cifar10.load(str(root / BATCHES)), expected)


def test_batches_in_the_cache_folder_are_used(root: Path, cache: Path, expected: Arrays) -> None:
    root.rename(cache)
    assert_same(cifar10.load(None), expected)


def test_a_cache_folder_that_cannot_be_written_only_costs_time(
    root: Path, expected: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEGRADATION_CACHE", str(tmp_path / "file" / "cache"))
    assert_same(cifar10.load(str(root)), expected)
    with pytest.raises(DataError, match="the cache folder cannot be written"):
        cifar10.load(None)


def one_line(root: Path) -> str:
    """What the user is told about `root`, which is left as it was."""
    before = snapshot(root)
    with pytest.raises(DataError) as caught:
        cifar10.load(str(root))
    assert snapshot(root) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_root_that_is_missing_or_empty_or_a_file(tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert one_line(root).startswith(f"data.root={root}: no such folder; expected")
    root.mkdir()
    assert one_line(root) == (
        f"data.root={root}: holds neither {BATCHES}/ nor cifar-10-python.tar.gz"
    )
    (root / BATCHES).mkdir()
    assert one_line(root) == f"{root / BATCHES}/batches.meta: missing"
    (root / "file").touch()
    assert one_line(root / "file").startswith(f"data.root={root}/file: not a folder; expected")


@pytest.mark.parametrize("name", ["batches.meta", "data_batch_3", "test_batch"])
def test_a_file_of_the_root_that_is_missing_truncated_or_altered(root: Path, name: str) -> None:
    path = root / BATCHES / name
    good = path.read_bytes()
    path.unlink()
    assert one_line(root) == f"{path}: missing"
    path.write_bytes(good[:-1])
    assert one_line(root).startswith(f"{path}: {len(good) - 1:,} bytes, expected {len(good):,}")
    path.write_bytes(good[:-1] + b"!")
    assert f", expected {hashlib.sha256(good).hexdigest()}; get it again" in one_line(root)


def test_a_bad_root_is_an_error_though_the_cache_holds_the_set(root: Path) -> None:
    cifar10.load(str(root))
    (root / BATCHES / "test_batch").unlink()
    assert one_line(root).endswith("test_batch: missing")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["batches.meta", "data_batch_1"])
def test_an_altered_batch_is_never_unpickled(root: Path, tmp_path: Path, name: str) -> None:
    path = root / BATCHES / name
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(bomb.ljust(size, b"."))
    assert str(path) in one_line(root)
    assert not (tmp_path / "exploded").exists()
    with path.open("rb") as file:
        pickle.load(file)
    assert (tmp_path / "exploded").exists(), "the bomb is a dud"


def test_an_altered_archive_in_the_root(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"<html>")
    assert "6 bytes, expected 170,498,071" in one_line(tmp_path)


@pytest.fixture
def archive(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive like the official one, whose compressed bytes nobody can make again."""
    path = tmp_path / "served" / "cifar-10-python.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz", compresslevel=0, dereference=True) as tar:
        tar.add(root / BATCHES, BATCHES)
    content = path.read_bytes()
    total = Sum(len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(cifar10, "ARCHIVE_SUM", total)
    return path


@pytest.fixture
def served(archive: Path) -> Iterator[str]:
    with serving(archive.parent) as url:
        yield f"{url}/{archive.name}"


def test_an_archive_in_the_root_will_do(archive: Path, expected: Arrays) -> None:
    before = snapshot(archive.parent)
    assert_same(cifar10.load(str(archive.parent)), expected)
    assert snapshot(archive.parent) == before


def test_an_empty_cache_folder_is_filled_by_download(
    served: str, archive: Path, cache: Path, expected: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "MIRRORS", (f"{served}.missing", served))
    assert_same(cifar10.load(None), expected)
    archive.unlink()
    assert_same(cifar10.load(None), expected)
    (cache / cifar10.DECODED).unlink()
    assert_same(cifar10.load(None), expected)
    assert {path.name for path in cache.iterdir()} - {"cifar10.lock"} == {
        BATCHES,
        cifar10.DECODED,
    }


def test_when_no_mirror_answers_the_error_shows_three_ways_out(cache: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        load_images("cifar10", None)
    text = str(caught.value)
    assert "http://127.0.0.1:1/cifar-10-python.tar.gz: " in text
    for way in ("Run the same command again", "set data.root=<folder>", "data=shapes"):
        assert way in text
    assert not (cache / cifar10.DECODED).exists()
