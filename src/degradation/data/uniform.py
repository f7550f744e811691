"""Vectors of 16 numbers, independent and uniform in [0, 1]: nothing to learn but to copy them."""

import numpy as np

from degradation.data.archives import Arrays

TRAIN, TEST, SIDE = 2_000, 1_000, 4
SEED = 20151210  # the paper's first version; any would do


def make() -> Arrays:
    """Vectors (N, 1, 4, 4) uint8, training and test, the same everywhere; all of class 0."""
    raw = np.random.Generator(np.random.PCG64(SEED)).integers(
        0, 256, (TRAIN + TEST, 1, SIDE, SIDE), dtype=np.uint8
    )
    labels = np.zeros(TRAIN + TEST, dtype=np.int64)
    return raw[:TRAIN], labels[:TRAIN], raw[TRAIN:], labels[TRAIN:]
