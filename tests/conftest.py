"""Fixtures that several test modules share."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from degradation.data.archives import cache_folder

if TYPE_CHECKING:
    from tests.wandb_server import Server

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


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Server]":
    """A W&B server with an account there, and an empty folder to work in."""
    from tests.wandb_server import KEY, serving

    from degradation.tracking import starting

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("DEGRADATION_FULL_ERROR", "0")
    monkeypatch.setitem(starting.SETTINGS, "finish_timeout", 1.0)
    monkeypatch.setitem(starting.SETTINGS, "init_timeout", 5.0)
    monkeypatch.setattr(starting, "_why_away", {})
    with serving() as running:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        yield running
        if "wandb" in sys.modules:  # whose service would know this server in the next test too
            sys.modules["wandb"].teardown()
