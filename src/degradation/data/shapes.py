"""`shapes`, a procedural set in the form of CIFAR-10, for machines that cannot get CIFAR-10.

Ten classes of figures at random position, size, stretch, angle and colour, on a cluttered and noisy
ground. Colour, place and brightness say nothing of the class; only the outline does, so a net has
to see form to learn it. It has claims of its own and never stands in for CIFAR-10 silently.

The bytes depend on the seed alone: all draws are integers, sines are rounded, and the rest is
arithmetic, one IEEE operation at a time, that gives the same result on every machine.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from degradation.data.archives import Arrays

CLASSES = (
    "disc",
    "ring",
    "square",
    "frame",
    "triangle",
    "hexagram",
    "cross",
    "bars",
    "half disc",
    "tee",
)
PIXELS = 32
TRAIN, TEST = 50_000, 10_000
CANVAS_PIXELS = 768
"""Side of the canvas that the grounds are cut from."""
CLUTTER, NOISE = 34, 26
"""Largest departure of the ground from grey, in levels of 255: of patches, and of each pixel."""
CONTRAST = (36, 68)
"""Of the figure against its ground in its strongest channel: grey levels, from and below."""
CHUNK = 500
"""Images drawn at once, so that the work stays in the processor's cache."""

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]


def _triangle(u: Plane, v: Plane) -> Plane:
    """Below 1 inside the upright triangle around the origin."""
    edges: Plane = np.maximum(-2 * v, np.abs(u) * np.float32(1.75) + v)
    return edges


def _chebyshev(u: Plane, v: Plane) -> Plane:
    distance: Plane = np.maximum(np.abs(u), np.abs(v))
    return distance


def _ring(u: Plane, v: Plane) -> Mask:
    square = u * u + v * v
    return (square < 1) & (square > 0.3)


def _frame(u: Plane, v: Plane) -> Mask:
    distance = _chebyshev(u, v)
    return (distance < 0.9) & (distance > 0.5)


def _cross(u: Plane, v: Plane) -> Mask:
    return (np.minimum(np.abs(u), np.abs(v)) < 0.3) & (_chebyshev(u, v) < 1)


def _bars(u: Plane, v: Plane) -> Mask:
    return _chebyshev(u, (np.abs(v) - np.float32(0.6)) * 3) < 0.9


def _tee(u: Plane, v: Plane) -> Mask:
    bar = _chebyshev(u, (v - np.float32(0.6)) * 3) < 0.9
    return bar | (_chebyshev(u * 2, v + np.float32(0.3)) < 0.65)


OUTLINES: tuple[Callable[[Plane, Plane], Mask], ...] = (
    lambda u, v: u * u + v * v < 0.85,
    _ring,
    lambda u, v: _chebyshev(u, v) < 0.8,
    _frame,
    lambda u, v: _triangle(u, v) < 1,
    lambda u, v: (_triangle(u, v) < 1) | (_triangle(u, -v) < 1),
    _cross,
    _bars,
    lambda u, v: (u * u + v * v < 1) & (v > 0),
    _tee,
)
"""Of each class, in its own frame of about [-1, 1] x [-1, 1]: which pixels the figure covers."""


def make(seed: int = 0) -> Arrays:
    """50,000 training and 10,000 test images (N, 3, 32, 32) with labels, as many of each class."""
    rng = np.random.Generator(np.random.PCG64(seed))
    canvas = _canvas(rng)
    train_images, train_labels = _draw(TRAIN, canvas, rng)
    return train_images, train_labels, *_draw(TEST, canvas, rng)


def _canvas(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(3, side, side): overlapping patches of random colour, and noise, around middle grey."""
    side = CANVAS_PIXELS
    canvas = np.zeros((3, side, side), np.int16)
    count = side * side // 60
    corners = rng.integers(-12, side, (count, 2))
    extents = rng.integers(3, 16, (count, 2))
    colours = rng.integers(-CLUTTER, CLUTTER + 1, (count, 3, 1, 1))
    for (top, left), (height, width), colour in zip(corners, extents, colours, strict=True):
        rows = slice(max(top, 0), max(top + height, 0))
        canvas[:, rows, max(left, 0) : max(left + width, 0)] = colour
    return (128 + canvas + rng.integers(-NOISE, NOISE + 1, canvas.shape)).astype(np.uint8)


def _draw(
    count: int, canvas: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`count` images in random order, and their labels."""
    images = np.empty((count, 3, PIXELS, PIXELS), np.uint8)
    labels = np.empty(count, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (PIXELS, PIXELS), (1, 2))
    order = rng.permutation(count)
    for start in range(0, count, CHUNK):
        label = start * len(CLASSES) // count
        places = order[start : start + CHUNK]
        rows, columns = rng.integers(0, windows.shape[1], (2, CHUNK))
        figure = OUTLINES[label](*_frames(rng)).view(np.uint8)[:, None]
        # Modulo 256, as uint8 is, a negative contrast subtracts; no sum leaves 0 to 255.
        ground = windows[:, rows, columns].swapaxes(0, 1)
        images[places] = ground + figure * _contrast(rng)
        labels[places] = label
    return images, labels


def _frames(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Coordinates (CHUNK, 32, 32) of every pixel in the figures' own, random frames."""
    degrees = rng.integers(0, 360, CHUNK)
    radius = rng.integers(24, 49, (2, CHUNK)).astype(np.float32) / 4  # pixels
    centre = rng.integers(-20, 21, (2, CHUNK)).astype(np.float32) / 4  # pixels
    turns = np.deg2rad(np.arange(360))
    cos, sin = (np.round(wave(turns) * 4096).astype(np.float32) / 4096 for wave in (np.cos, np.sin))
    middle = np.float32((PIXELS - 1) / 2)
    across = (np.arange(PIXELS, dtype=np.float32) - middle)[None, :] - centre[:, :, None]
    c, s = cos[degrees][:, None], sin[degrees][:, None]
    x, y = across
    u = (x * c / radius[0][:, None])[:, None, :] + (y * s / radius[0][:, None])[:, :, None]
    v = (y * c / radius[1][:, None])[:, :, None] - (x * s / radius[1][:, None])[:, None, :]
    return u, v


def _contrast(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(CHUNK, 3, 1, 1): levels the figure adds to its ground, modulo 256; one channel in full."""
    full = rng.integers(*CONTRAST, (CHUNK, 1)) * (2 * rng.integers(0, 2, (CHUNK, 1)) - 1)
    share = rng.integers(-4, 5, (CHUNK, 3))
    share[np.arange(CHUNK), rng.integers(0, 3, CHUNK)] = 4
    levels: NDArray[np.uint8] = (full * share // 4).astype(np.uint8)[:, :, None, None]
    return levels
