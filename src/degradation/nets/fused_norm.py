"""relu(batch norm + shortcut) in training mode by the kernels of fused_kernels.py: two launches
forward and two backward, where PyTorch in bf16 has up to twelve.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from degradation.nets import fused_kernels as kernels

TILES = 128
"""At most one for each of an H200's 132 multiprocessors, unless the tiles would be too large: the
more there are, the more each has to merge.
"""
WIDTH = 16
"""Channels of a tile: 32 bytes in bf16, the least that memory gives at once."""
HEIGHTS = (32, 1024)
"""Least and most rows of a tile."""
WARPS = (8, 16)
"""Of a tile, more where it is large: 32 numbers a thread, so that no registers are spilled."""


@dataclass(frozen=True)
class Tiling:
    """How a matrix is cut. Of a batch of 128, 131072 x 16 numbers (32 x 32 pixels) into 128 tiles
    of 1024 x 16, 32768 x 32 (16 x 16) into 64 x 2 of 512 x 16, 8192 x 64 (8 x 8) into 32 x 4 of
    256 x 16.
    """

    rows: int
    channels: int
    """A power of two, as all that Triton cuts."""
    early: bool
    """Whether the second kernel is launched before the first has ended."""

    @property
    def width(self) -> int:
        return min(self.channels, WIDTH)

    @property
    def height(self) -> int:
        wanted = power_of_two(-(-self.rows * (self.channels // self.width) // TILES))
        return min(max(wanted, HEIGHTS[0]), HEIGHTS[1])

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles below and beside one another."""
        return -(-self.rows // self.height), self.channels // self.width

    def options(self, **more: bool) -> dict[str, int]:
        """What kernels are compiled for."""
        is_large = self.height * self.width > 32 * 32 * WARPS[0]
        sizes = {"CHANNELS": self.channels, "HEIGHT": self.height, "WIDTH": self.width}
        down = power_of_two(self.grid[0])
        sizes |= {"DOWN": down, "num_warps": WARPS[is_large], "EARLY": self.early}
        return sizes | more

    def second(self, **more: bool) -> dict[str, int]:
        """Of a kernel that merges another's sums."""
        return self.options(**more) | ({"launch_pdl": True} if self.early else {})


def power_of_two(count: int) -> int:
    """The least that is not below."""
    return 1 << (count - 1).bit_length()


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, layer: nn.BatchNorm2d, how: tuple[bool, bool], *tensors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        x, shortcut = (None if tensor is None else rowwise(tensor) for tensor in tensors[:2])
        assert x is not None
        (relu, early), weight, bias = how, layer.weight, layer.bias
        tiling = Tiling(x.numel() // x.shape[1], x.shape[1], early)
        y, sums = torch.empty_like(x), weight.new_empty(2, tiling.grid[0], tiling.channels)
        statistics = weight.new_empty(2, tiling.channels)
        kernels.batch_norm_moments[tiling.grid](x, sums, tiling.rows, **tiling.options())
        kernels.batch_norm_output[tiling.grid](
            x, shortcut, y, sums, statistics, weight, bias, layer.running_mean, layer.running_var,
            tiling.rows, layer.momentum, layer.eps, **tiling.second(RELU=relu),
        )  # fmt: skip
        ctx.save_for_backward(x, y if relu else None, statistics, weight)
        ctx.tiling, ctx.relu, ctx.adds = tiling, relu, shortcut is not None
        ctx.set_materialize_grads(False)  # where y has one use
        return y, y.detach()

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        (x, y, statistics, weight), tiling, relu = ctx.saved_tensors, ctx.tiling, ctx.relu
        dy, beside = ([rowwise(tensor) for tensor in given if tensor is not None] + [None])[:2]
        sums = weight.new_empty(2, tiling.grid[0], tiling.channels)
        dx, dweight, dbias = map(torch.empty_like, (x, weight, weight))
        gradient = torch.empty_like(x) if ctx.adds or beside is not None else None
        kernels.batch_norm_gradient_sums[tiling.grid](
            dy, beside, x, y, gradient, sums, statistics, tiling.rows, **tiling.options(RELU=relu)
        )
        if gradient is not None:
            dy, y, relu = gradient, None, False
        kernels.batch_norm_gradients[tiling.grid](
            dy, x, y, dx, sums, statistics, weight, dweight, dbias, tiling.rows,
            **tiling.second(RELU=relu),
        )  # fmt: skip
        return None, None, dx, gradient if ctx.adds else None, dweight, dbias


def rowwise(x: Tensor) -> Tensor:
    """(N, C, H, W) with each pixel's channels beside one another; a copy only if they are not."""
    return x.contiguous(memory_format=torch.channels_last)


def batch_norm(
    layer: nn.BatchNorm2d,
    x: Tensor,
    shortcut: Tensor | None = None,
    *,
    relu: bool = True,
    early: bool = False,
) -> tuple[Tensor, Tensor]:
    """relu(layer(x) + shortcut) in training mode, twice: if each is used once, autograd needs no
    launch to add the gradients of both uses. The layer's batches are not counted.

    x, shortcut: (N, C, H, W), C a power of two, bf16 or fp32. early: see fused_kernels.py.
    """
    tensors = (x, shortcut, layer.weight, layer.bias)
    return _BatchNorm.apply(layer, (relu, early), *tensors)  # type: ignore[no-any-return, no-untyped-call]
