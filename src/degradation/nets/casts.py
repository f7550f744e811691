"""Weights in bf16 by one launch for all of them."""

from typing import Any

import torch
from torch import Tensor


class CastTogether(torch.autograd.Function):
    """Autocast turns each weight to bf16, and each gradient back, by a kernel of its own."""

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        return _as(torch.bfloat16, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return _as(torch.float32, gradients)


def _as(dtype: torch.dtype, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    made = tuple(torch.empty_like(tensor, dtype=dtype) for tensor in tensors)
    torch._foreach_copy_(made, tensors)
    return made
