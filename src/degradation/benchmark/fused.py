"""A plain or residual net whose training step launches fewer kernels: batch norm, addition and ReLU
by those of fused_norm.py, the weights in bf16 by one for all, and the layers' batches counted by
one for all.
"""

from collections.abc import Iterator
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degradation.benchmark.fused_norm import batch_norm, power_of_two
from degradation.benchmark.gpu_variants import CastTogether
from degradation.nets.resnet import Block, PadShortcut, ResNet

PARTS = ("norm1", "act1", "norm2", "act2")
ACCEPTED = "a ResNet in the order `post` with batch norm, ReLU, shortcut A and 2**n channels"


class Fused(nn.Module):
    """`net`, whose weights and statistics these are, by other kernels in training mode."""

    def __init__(self, net: ResNet, early: bool):
        super().__init__()
        self.net, self.early = net, early
        self.convs = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
        self.norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 32, 32)
        if not self.training:
            return self.net(x)  # type: ignore[no-any-return]
        buffers = self.net.named_buffers()
        torch._foreach_add_([n for key, n in buffers if key.endswith("num_batches_tracked")], 1)
        weights, norms = self._weights(x.device), iter(self.norms)
        norm = partial(batch_norm, early=self.early)
        x, beside = norm(next(norms), F.conv2d(x, next(weights), padding=1))
        for block in cast(Iterator[Block], iter(self.net.blocks)):
            y = F.conv2d(x, next(weights), None, block.conv1.stride, padding=1)
            y, _ = norm(next(norms), y)  # (B, C_out, H / stride, W / stride)
            y = F.conv2d(y, next(weights), padding=1)
            shortcut = None if block.shortcut is None else block.shortcut(beside)
            x, beside = norm(next(norms), y, shortcut)
        # pixels before channels, as they lie in memory: so do the gradients, which are not copied
        x = x.permute(0, 2, 3, 1).mean((1, 2))  # (B, 64)
        return F.linear(x, next(weights), next(weights))  # (B, 10)

    def _weights(self, device: torch.device) -> Iterator[Tensor]:
        """In the order of their use, as autocast would have them."""
        linear = self.net.linear
        weights = [*(conv.weight for conv in self.convs), linear.weight, linear.bias]
        if torch.is_autocast_enabled(device.type):
            return iter(CastTogether.apply(*weights))  # type: ignore[no-untyped-call]
        return iter(weights)


def fuse(model: nn.Module, early: bool = False) -> Fused:
    """early: see fused_kernels.py. Raises ValueError for a net that has what the kernels do not
    compute.
    """
    if reason := _why_not(model):
        raise ValueError(f"fused kernels: {reason}; accepted: {ACCEPTED}")
    return Fused(cast(ResNet, model), early)


def _why_not(model: nn.Module) -> str:
    """What another net has; empty if nothing."""
    if not isinstance(model, ResNet):
        return type(model).__name__
    if type(model.blocks) is not nn.Sequential:
        return type(model.blocks).__name__
    if any(not isinstance(block, Block) or block.pre for block in model.blocks):
        return "the order `pre`"
    width = model.linear.in_features // 4
    if width != power_of_two(width):
        return f"{width} channels"
    parts = [block.get_submodule(name) for block in model.blocks for name in PARTS]
    others = {type(part) for part in [*list(model.stem)[1:], *parts]} - {nn.BatchNorm2d, nn.ReLU}
    shortcuts = {type(block.get_submodule("shortcut")) for block in model.blocks if block.shortcut}
    others |= shortcuts - {nn.Identity, PadShortcut}
    return ", ".join(sorted(other.__name__ for other in others))
