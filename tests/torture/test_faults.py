"""Each fault of the storage, survived."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from tests.torture.faults import FAULTS, NotHere, make_reference


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reference(tmp_path_factory.mktemp("reference") / "alone")


def cases() -> Iterator[ParameterSet]:
    for fault in FAULTS:
        slow = [pytest.mark.slow] if fault.__name__ == "full_disk_at_any_write" else []
        yield pytest.param(fault, marks=slow, id=fault.__name__)


@pytest.mark.parametrize("fault", list(cases()))
def test_survived(fault: Callable[[Path, Path], None], reference: Path, tmp_path: Path) -> None:
    try:
        fault(tmp_path / "here", reference)
    except NotHere as why:
        pytest.skip(str(why))
