"""MNIST: the real files, read as torchvision reads them; damaged ones refused."""

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.helpers import make_config, serving
from torchvision.datasets import MNIST

from degradation.data import mnist, uniform
from degradation.data.archives import DataError, Sum
from degradation.data.batches import clean, prepare
from degradation.data.images import ImageSet, load_images

CPU = torch.device("cpu")


def test_the_set_is_what_torchvision_reads(mnist_root: Path) -> None:
    arrays = mnist.load(str(mnist_root))
    for train, (images, labels) in zip((True, False), (arrays[:2], arrays[2:]), strict=True):
        theirs = MNIST(str(mnist_root), train=train)
        assert np.array_equal(images[:, 0], theirs.data.numpy())
        assert np.array_equal(labels, theirs.targets.numpy())
    assert [array.dtype.name for array in arrays] == ["uint8", "int64", "uint8", "int64"]
    # the published mean and deviation of the training images
    assert arrays[0].mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert arrays[0].std() / 255 == pytest.approx(0.3081, abs=1e-4)


def test_an_altered_file_is_refused(mnist_root: Path, tmp_path: Path) -> None:
    shutil.copytree(mnist_root / mnist.RAW, tmp_path / mnist.RAW)
    path = tmp_path / mnist.RAW / "t10k-labels-idx1-ubyte"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=f"{path}: SHA-256"):
        mnist.load(str(tmp_path))
    path.unlink()
    with pytest.raises(DataError, match=f"{path}: missing"):
        mnist.load(str(tmp_path))


def test_a_folder_without_it_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no MNIST/raw/"):
        mnist.load(str(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        mnist.load(str(tmp_path / "nowhere"))


def test_a_download_is_unpacked_and_kept(
    mnist_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From files that stand for the mirrors' (their compressed bytes are not the mirrors')."""
    served = tmp_path / "served"
    served.mkdir()
    sums = {}
    for name in mnist.SUMS:
        packed = gzip.compress((mnist_root / mnist.RAW / name).read_bytes(), 1, mtime=0)
        (served / f"{name}.gz").write_bytes(packed)
        sums[name] = Sum(len(packed), hashlib.sha256(packed).hexdigest())
    monkeypatch.setenv("DEGRADATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "ARCHIVE_SUMS", sums)
    with serving(served) as url:
        monkeypatch.setattr(mnist, "MIRRORS", (f"{url}/missing/", f"{url}/"))
        found = mnist.load(None)
    assert np.array_equal(found[0], mnist.load(str(mnist_root))[0])
    kept = {path.name for path in (tmp_path / "cache" / mnist.RAW).iterdir()}
    assert kept == set(mnist.SUMS)


@pytest.mark.parametrize(
    ("scaling", "low", "high"), [("zero_to_one", 0, 1), ("minus_one_to_one", -1, 1)]
)
def test_scalings(scaling: str, low: float, high: float) -> None:
    raw = np.arange(256, dtype=np.uint8).repeat(16).reshape(256, 1, 4, 4)
    images = ImageSet("uniform", raw, np.zeros(256, np.int64), raw[:8], np.zeros(8, np.int64))
    cfg = make_config(
        "model.net=stack", "data.name=uniform", "data.pixels=4", f"data.scaling={scaling}",
        "data.train_images=0",
    ).data  # fmt: skip
    data = prepare(images, cfg, CPU)
    seen = clean(data, data.train.images)
    assert seen.shape == (256, 1, 4, 4)
    assert torch.allclose(seen[:, 0, 0, 0], torch.linspace(low, high, 256), atol=1e-6)


def test_uniform_vectors_are_uniform_and_independent() -> None:
    images = load_images("uniform", None)
    vectors = images.train_images.reshape(uniform.TRAIN, 16) / 255
    assert vectors.mean(0) == pytest.approx(0.5, abs=0.03)
    assert np.abs(np.corrcoef(vectors.T) - np.eye(16)).max() < 0.1
    assert not np.isin(images.test_images.reshape(-1, 16).view("V16"),
                       images.train_images.reshape(-1, 16).view("V16")).any()  # fmt: skip
