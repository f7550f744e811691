"""By whose kernels a training step computes batch norm (`hardware.batch_norm_kernels`)."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from degradation.nets.resnet import ResNet


class NativeBatchNorm2d(nn.BatchNorm2d):
    """By PyTorch's own kernels, which it takes for bf16, in every precision.

    For fp32 it takes cuDNN's (SPATIAL_PERSISTENT). These start only once the whole GPU can hold
    them, and kernels on other streams hold them up (github.com/pytorch/pytorch/issues/80259);
    PyTorch's own are more launches.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.momentum is None:
            return super().forward(x)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        kept = (self.weight, self.bias, self.running_mean, self.running_var)
        y: Tensor = torch.native_batch_norm(x, *kept, True, self.momentum, self.eps)[0]
        return y


def forward_by(kernels: str, model: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a training step calls for `model`, whose weights and statistics stay its own: images
    (B, C, P, P) -> logits (B, 10). The config has checked that the kernels can compute the net.
    """
    if kernels == "native":
        for layer in model.modules():
            if type(layer) is nn.BatchNorm2d:
                layer.__class__ = NativeBatchNorm2d
    if not kernels.startswith("fused"):
        return model
    from degradation.nets.fused import Fused  # Triton is not everywhere

    return Fused(cast(ResNet, model), early=kernels == "fused_early")
