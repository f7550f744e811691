"""Batch norm, addition and ReLU by Triton kernels beside PyTorch's in float64."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degradation.nets.fused_norm import batch_norm

Numbers = dict[str, Tensor]


def numbers(
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    mean: float = 1,
    device: str = "cpu",
) -> Numbers:
    torch.manual_seed(0)
    x = 2 * torch.randn(shape) + mean
    given = {"x": x} | {key: torch.randn(shape) for key in ("shortcut", "dy", "dy_beside")}
    layout = {"device": device, "dtype": dtype, "memory_format": torch.channels_last}
    return {key: value.to(**layout) for key, value in given.items()}  # type: ignore[call-overload]


def layer_for(given: Numbers) -> nn.BatchNorm2d:
    torch.manual_seed(1)
    layer = nn.BatchNorm2d(given["x"].shape[1])
    for value in [*layer.parameters(), *layer.buffers()][:4]:
        nn.init.uniform_(value, 0.5, 1.5)
    return layer.to(given["x"].device)


def ours(
    given: Numbers, adds: bool = True, relu: bool = True, uses: int = 2, early: bool = False
) -> Numbers:
    layer, x, shortcut = layer_for(given), leaf(given["x"]), leaf(given["shortcut"])
    y, beside = batch_norm(layer, x, shortcut if adds else None, relu=relu, early=early)
    assert torch.equal(y, beside)
    torch.autograd.backward((y, beside)[:uses], (given["dy"], given["dy_beside"])[:uses])
    return found(layer, y, x, shortcut)


def exact(
    given: Numbers, y: Tensor, adds: bool = True, relu: bool = True, uses: int = 2
) -> Numbers:
    """y: what is to be compared with it; ReLU cuts gradients where that is 0, because beside 0
    rounding decides, which one number of millions would show.
    """
    layer, given = layer_for(given).double(), {key: value.double() for key, value in given.items()}
    x, shortcut = leaf(given["x"]), leaf(given["shortcut"])
    result = layer(x) + shortcut if adds else layer(x)
    dy = given["dy"] + given["dy_beside"] * (uses - 1)
    result.backward(dy.where(y > 0, 0.0) if relu else dy)
    result = F.relu(result) if relu else result
    return found(layer, result, x, shortcut)


def leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_()


def found(layer: nn.BatchNorm2d, y: Tensor, x: Tensor, shortcut: Tensor) -> Numbers:
    """What comes of it; no gradient where a shortcut was not added."""
    values = {"y": y, "mean": layer.running_mean, "variance": layer.running_var}
    leaves = {"x": x, "shortcut": shortcut, "weight": layer.weight, "bias": layer.bias}
    values |= {f"d{key}": value.grad for key, value in leaves.items()}
    return {key: value.detach().double() for key, value in values.items() if value is not None}


def agree(one: Numbers, other: Numbers, tolerance: float) -> None:
    assert one.keys() == other.keys()
    for key, value in other.items():
        error = (one[key] - value).abs().max() / value.abs().max()
        assert error < tolerance, f"{key}: {error}"
