"""Batch norm, addition and ReLU by Triton kernels: their numbers on a CPU, by Triton's interpreter,
and on a GPU.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmark import small
from tests.helpers import assert_passes, make_config, noise_images
from torch import Tensor

from degradation.benchmark.contestants import begun
from degradation.config import HardwareConfig
from degradation.data.batches import prepare, train_batches
from degradation.step import build_step

pytest.importorskip("triton")


def on_gpu(test: Any) -> Any:
    needs = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    return pytest.mark.gpu(needs(test))


@pytest.mark.parametrize("marked", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_the_kernels_numbers_by_the_interpreter(marked: str) -> None:
    file = Path(__file__).with_name("interpreted.py")
    assert_passes([file], marked, os.environ | {"TRITON_INTERPRET": "1"})


@pytest.mark.parametrize(("channels", "tiles"), [(16, (128, 1)), (32, (64, 2)), (64, (32, 4))])
def test_each_layer_of_the_papers_nets_fills_a_gpu_once(
    channels: int, tiles: tuple[int, int]
) -> None:
    from degradation.nets.fused_norm import Tiling

    pixels = 32 * 16 // channels
    tiling = Tiling(128 * pixels**2, channels, early=False)
    assert tiling.grid == tiles
    assert tiling.height * tiles[0] == tiling.rows


# on a GPU


@on_gpu
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2**-7)])
@pytest.mark.parametrize("shape", small.STAGES)
def test_the_kernels_numbers(
    shape: tuple[int, ...], dtype: torch.dtype, tolerance: float, early: bool
) -> None:
    """Greatest errors as a part of the greatest number; and the same bits every time."""
    from tests.nets import norms

    given = norms.numbers(shape, dtype, device="cuda")
    found = norms.ours(given, early=early)
    norms.agree(found, norms.exact(given, found["y"]), tolerance)
    for _ in range(10):
        again = norms.ours(given, early=early)
        assert all(torch.equal(again[key], value) for key, value in found.items())


def stepped(precision: str, kernels: str, capture: bool, steps: int) -> Tensor:
    """Weights and statistics of ResNet-20 after so many steps, less those before."""
    cfg = make_config("model.depth=20", f"trainer.precision={precision}", preset="paper")
    data = prepare(noise_images(train=1024), cfg.data, torch.device("cuda"))
    state, _ = begun(cfg, data)
    hardware = HardwareConfig(capture=capture, batch_norm_kernels=kernels)
    step = build_step(state.model, state.optimizer, precision, hardware)
    moved = [x for x in state.model.state_dict().values() if x.is_floating_point()]
    before = torch.cat([x.flatten() for x in moved])
    for batch in train_batches(data, 0, 0, steps, 128):
        step(*batch, 0.1)
    return torch.cat([x.flatten() for x in moved]) - before


@on_gpu
@pytest.mark.parametrize("kernels", ["native", "fused", "fused_early"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_captured_step_is_the_eager_step(precision: str, kernels: str) -> None:
    eager, captured = (stepped(precision, kernels, capture, 4) for capture in (False, True))
    assert torch.equal(captured, eager)


@on_gpu
@pytest.mark.parametrize("kernels", ["native", "fused", "fused_early"])
def test_a_step_is_that_of_the_net(kernels: str) -> None:
    ours, theirs = (stepped("fp32", given, False, 1) for given in (kernels, "library"))
    assert 0 < (ours - theirs).norm() < 1e-2 * theirs.norm()
