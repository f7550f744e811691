"""Fixtures that several test modules share."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from degradation.data.archives import cache_folder

# `tests.helpers` and its neighbours, also where pytest is not started as `python -m pytest`.
sys.path.append(str(Path(__file__).parents[1]))

# The same cases on every machine, however slow it is.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def cifar10_root() -> Path:
    """A folder with the real `cifar-10-batches-py/`; tests that need it are skipped without."""
    if root := os.environ.get("DATA_ROOT"):
        return Path(root).expanduser().absolute()
    if (cache_folder() / "cifar-10-batches-py").is_dir():
        return cache_folder()
    pytest.skip("no CIFAR-10 here: set DATA_ROOT to the folder that holds cifar-10-batches-py/")


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """A folder with the real `MNIST/raw/`; tests that need it are skipped without."""
    if (root := os.environ.get("DATA_ROOT")) and Path(root, "MNIST/raw").expanduser().is_dir():
        return Path(root).expanduser().absolute()
    if (cache_folder() / "MNIST/raw").is_dir():
        return cache_folder()
    pytest.skip("no MNIST here: set DATA_ROOT to the folder that holds MNIST/raw/")
