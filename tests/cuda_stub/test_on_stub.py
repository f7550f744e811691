"""The code for CUDA, without a GPU."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cuda_stub import stub

pytestmark = pytest.mark.skipif(bool(stub.why_not()), reason=stub.why_not())


@pytest.mark.parametrize("marked", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_what_runs_on_cuda_passes_on_the_stub(tmp_path: Path, marked: str) -> None:
    files = map(str, Path(__file__).parent.glob("on_stub*.py"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marked, *files],
        cwd=Path(__file__).parents[2],
        env=stub.with_stub(stub.build(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
