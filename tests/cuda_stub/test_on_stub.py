"""The code for CUDA, without a GPU."""

from pathlib import Path

import pytest
from tests.cuda_stub import stub
from tests.helpers import assert_passes

pytestmark = pytest.mark.skipif(bool(stub.why_not()), reason=stub.why_not())


@pytest.mark.parametrize("marked", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_what_runs_on_cuda_passes_on_the_stub(tmp_path: Path, marked: str) -> None:
    files = Path(__file__).parent.glob("on_stub*.py")
    assert_passes(files, marked, stub.with_stub(stub.build(tmp_path)))
