"""Each fault of the storage, survived."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.torture.faults import FAULTS, NotHere, make_reference


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reference(tmp_path_factory.mktemp("reference") / "alone")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_survived(fault: Callable[[Path, Path], None], reference: Path, tmp_path: Path) -> None:
    try:
        fault(tmp_path / "here", reference)
    except NotHere as why:
        pytest.skip(str(why))
