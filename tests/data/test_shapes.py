"""The procedural set: its form, its balance, and that only the outline tells the class."""

import hashlib

import numpy as np
import pytest

from degradation.data import shapes
from degradation.data.archives import Arrays
from degradation.data.images import load_images


@pytest.fixture(scope="module")
def made() -> Arrays:
    return shapes.make()


def test_it_has_the_form_of_cifar10_and_as_many_of_each_class(made: Arrays) -> None:
    assert [array.shape for array in made] == [
        (50_000, 3, 32, 32),
        (50_000,),
        (10_000, 3, 32, 32),
        (10_000,),
    ]
    assert [array.dtype.name for array in made] == ["uint8", "int64", "uint8", "int64"]
    assert np.bincount(made[1]).tolist() == [5000] * 10
    assert np.bincount(made[3]).tolist() == [1000] * 10


def test_the_bytes_depend_on_the_seed_alone(made: Arrays) -> None:
    """Draws are integers and the arithmetic is exact, so this holds on every machine."""
    digest = hashlib.sha256(b"".join(array.tobytes() for array in made)).hexdigest()
    assert digest == "64bd74c5c0ef1b2d6d83ab9e7aac795edc665c73acf6ba36ee5bd384dcdbe919"
    assert not np.array_equal(shapes.make(seed=1)[0], made[0])


def test_no_image_is_in_both_parts_or_twice(made: Arrays) -> None:
    images = np.concatenate([made[0], made[2]]).reshape(60_000, -1)
    assert len({image.tobytes() for image in images}) == 60_000


def test_the_order_is_mixed(made: Arrays) -> None:
    for labels in (made[1], made[3]):
        assert all(len(set(part)) == 10 for part in labels.reshape(-1, 500))


def test_pixels_do_not_wrap_around(made: Arrays) -> None:
    """A sum that left 0 to 255 would put black beside white all over a figure."""
    assert 0 < made[0].min() < 20
    assert 235 < made[0].max() <= 255
    reach = shapes.CLUTTER + shapes.NOISE + shapes.CONTRAST[1] - 1
    assert 128 - reach >= 0
    assert 128 + reach <= 255


def linear_error_pct(features: np.ndarray, made: Arrays) -> float:
    """Test error of ridge regression on the one-hot labels."""
    train, test = features[:10_000], features[50_000:]
    gram = train.T @ train + 1e-3 * len(train) * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, train.T @ np.eye(10)[made[1][:10_000]])
    return float(100 * np.mean((test @ weights).argmax(1) != made[3]))


def test_colour_place_and_brightness_tell_next_to_nothing(made: Arrays) -> None:
    """Chance is 90 %. What is left is the area: a disc covers more than a ring."""
    images = np.concatenate([made[0], made[2]])
    pooled = images.reshape(-1, 3, 8, 4, 8, 4).mean((3, 5), dtype=np.float32) / 64 - 2
    pixels = np.hstack([pooled.reshape(len(images), -1), np.ones((len(images), 1))])
    assert linear_error_pct(pixels, made) > 85


@pytest.mark.parametrize("pixels", [32, 16])
def test_the_outline_tells_the_class(pixels: int) -> None:
    """Without clutter, noise and turning, nearest class mean separates what a net has to learn."""
    axis = (np.arange(pixels, dtype=np.float32) - (pixels - 1) / 2) / (pixels / 2.2)
    u, v = np.meshgrid(axis, axis)
    masks = np.stack([outline(u, v) for outline in shapes.OUTLINES])
    assert masks.shape == (len(shapes.CLASSES), pixels, pixels)
    assert all(0.15 < mask.mean() < 0.75 for mask in masks)
    differ = (masks[:, None] != masks[None]).mean((2, 3))
    assert (differ + np.eye(10)).min() > 0.05


def test_it_is_loaded_by_name_once_a_process() -> None:
    images = load_images("shapes", None)
    assert images.name == "shapes"
    assert load_images("shapes", None) is images
