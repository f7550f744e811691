"""The Triton kernels on a CPU, by Triton's interpreter, against PyTorch in float64. Started by
test_fused.py in a process of its own, because Triton is told before it is imported.
"""

import itertools

import pytest
import torch
from tests.benchmark import small
from tests.nets.norms import Numbers, agree, exact, numbers, ours
from torch import Tensor, nn

from degradation.benchmark.contestants import begun
from degradation.data.batches import train_batches
from degradation.nets import fused_norm
from degradation.step import EagerStep

SHAPES = [(2, 4, 5, 7), (3, 32, 9, 5), (1, 1, 2, 3)]
"""Tiles below one another with a last one that is not full, the same beside one another, and less
than a tile.
"""
STEPS = 2
FP32, BF16 = 2e-6, 2**-6
"""Greatest error, as a part of the greatest number. The interpreter cuts off where a GPU rounds to
bf16, which is 2**-7 of a number.
"""


def test_a_layer_of_a_net() -> None:
    given = numbers(SHAPES[1])
    made = ours(given)
    agree(made, exact(given, made["y"]), FP32)


@pytest.mark.parametrize("mean", [1, 20])
def test_bf16(mean: float) -> None:
    given = numbers(SHAPES[1], torch.bfloat16, mean)
    made = ours(given)
    agree(made, exact(given, made["y"]), BF16)


def test_a_large_mean_costs_no_more_than_its_own_rounding() -> None:
    """Sums of squares from 0 would be wrong in the variance's second digit."""
    given = numbers(SHAPES[1], mean=3000)
    made = ours(given)
    agree(made, exact(given, made["y"]), 1e-3)


COMBINATIONS = list(itertools.product(SHAPES, (True, False), (True, False), (1, 2)))


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "adds", "relu", "uses"), COMBINATIONS)
def test_with_and_without(shape: tuple[int, ...], adds: bool, relu: bool, uses: int) -> None:
    given = numbers(shape)
    made = ours(given, adds, relu, uses)
    agree(made, exact(given, made["y"], adds, relu, uses), FP32)


@pytest.mark.slow
@pytest.mark.parametrize("shape", small.STAGES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, FP32), (torch.bfloat16, BF16)])
def test_layers_of_the_papers_nets(
    shape: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    given = numbers(shape, dtype)
    made = ours(given)
    agree(made, exact(given, made["y"]), tolerance)


def trained(fused: bool, precision: str, kind: str) -> tuple[Tensor, Numbers]:
    """Weights and statistics of ResNet-8 after STEPS, less those before, and all it has."""
    cfg, data = small.paper(8, precision), small.data()
    cfg.model.kind = kind
    state, _ = begun(cfg, data)
    before = numbers_of(state.model)
    kernels = "fused" if fused else "library"
    step = EagerStep(state.model, state.optimizer, precision, kernels=kernels)
    for batch in train_batches(data, 0, 0, STEPS, batch_size=8):
        step(*batch, 0.1)
    return numbers_of(state.model) - before, state.model.state_dict()


def numbers_of(model: nn.Module) -> Tensor:
    return torch.cat([x.flatten() for x in model.state_dict().values() if x.is_floating_point()])


@pytest.fixture
def fewer_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile takes milliseconds here."""
    monkeypatch.setattr(fused_norm, "HEIGHTS", (128, 1024))


@pytest.mark.usefixtures("fewer_tiles")
@pytest.mark.parametrize("kind", ["residual", pytest.param("plain", marks=pytest.mark.slow)])
def test_steps_are_those_of_the_net(kind: str) -> None:
    (moved, kept), (theirs, theirs_kept) = (trained(f, "fp32", kind) for f in (True, False))
    assert 0 < (moved - theirs).norm() < 1e-5 * theirs.norm()  # other sums, other roundings
    assert kept.keys() == theirs_kept.keys()
    counts = [value for key, value in kept.items() if key.endswith("num_batches_tracked")]
    assert counts == [STEPS] * 7


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_tiles")
@pytest.mark.parametrize("kind", ["residual", "plain"])
def test_steps_in_bf16_are_as_far_from_those_in_fp32_as_autocasts(kind: str) -> None:
    (moved, _), (theirs, _) = (trained(f, "bf16", kind) for f in (True, False))
    fp32, _ = trained(False, "fp32", kind)
    assert 0 < (moved - fp32).norm() < 1.5 * (theirs - fp32).norm()
