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

from degradation.nets.casts import CastTogether
from degradation.nets.fused_norm import batch_norm
from degradation.nets.resnet import Block, ResNet


class Fused:
    """`net` in training mode, whose weights and statistics these are, by other kernels: a ResNet in
    the order `post` with batch norm over the whole batch, ReLU, shortcut A and 2**n channels.

    early: see fused_kernels.py.
    """

    def __init__(self, net: ResNet, early: bool = False):
        self.net, self.early = net, early
        self.convs = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
        self.norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]

    def __call__(self, x: Tensor) -> Tensor:  # (B, 3, 32, 32)
        counts = [norm.num_batches_tracked for norm in self.norms]
        torch._foreach_add_(cast(list[Tensor], counts), 1)
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
