"""What only a CUDA machine can show; `make test-gpu`."""

import math
from pathlib import Path

import pytest
import torch
from tests.helpers import TINY, call, lines_of, only_run, weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
RUN = ("data=shapes", "tracking=off", *TINY)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_run_finishes_with_finite_numbers(tmp_path: Path, precision: str) -> None:
    root = f"output_root={tmp_path}"
    assert call(*RUN, "hardware=cuda", f"trainer.precision={precision}", root) == 0
    rows = lines_of(only_run(tmp_path))
    assert rows[-1]["iteration"] == 20
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_first_steps_are_those_of_the_cpu(tmp_path: Path) -> None:
    runs = {}
    for device in ("cpu", "cuda"):
        root = tmp_path / device
        assert call(*RUN, f"hardware={device}", "optim.lr=0.01", f"output_root={root}") == 0
        runs[device] = only_run(root)
    losses = {device: lines_of(run)[0]["train/loss"] for device, run in runs.items()}
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)
    cpu, cuda = weights(runs["cpu"]), weights(runs["cuda"])
    assert cpu.keys() == cuda.keys()
    torch.testing.assert_close(cuda["stem.0.weight"], cpu["stem.0.weight"], rtol=0.05, atol=0.01)
