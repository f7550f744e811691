"""Gradient norms layer by layer: of each conv's weights, and of what reaches each block's output.

Entries: `weight/<i>` for the i-th 3x3 conv and `output/<i>` for the i-th block, both counted from
1, as L2 norms; `first_to_last_weight` and `first_to_last_output`, the decimal logarithm of the
first one's norm over the last one's: negative where gradients vanish on their way back, positive
where they grow.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degradation.nets.resnet import Block, ResNet
from degradation.records import Row

IMAGES = 64
"""A batch of preset `quick`; batch norm sees it in train mode."""


def measure(model: ResNet, images: Tensor, labels: Tensor) -> Row:
    """images: (B, 3, P, P) float32; labels: (B,). Numbers that are zero or not finite are left
    out. Gradients and batch norm's statistics are as before afterwards.
    """
    weights = [conv.weight for conv in convs(model)]
    outputs: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _block, _in, output: outputs.append(output))
        for block in model.blocks
        if isinstance(block, Block)
    ]
    buffers = [buffer.clone() for buffer in model.buffers()]
    was_training = model.training
    try:
        loss = F.cross_entropy(model.train()(images), labels)
        grads = torch.autograd.grad(loss, [*weights, *outputs])
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
    norms = torch.stack([_norm(grad) for grad in grads]).tolist()
    row = _series("weight", norms[: len(weights)]) | _series("output", norms[len(weights) :])
    return {key: value for key, value in row.items() if math.isfinite(value)}


def _norm(grad: Tensor) -> Tensor:
    """L2, also of gradients so small that their squares are zero in float32; nan for all zeros."""
    peak = grad.abs().amax()
    norm: Tensor = torch.linalg.vector_norm(grad / peak) * peak
    return norm


def convs(model: ResNet) -> list[nn.Conv2d]:
    """The 3x3 convs from the stem on; a shortcut's projection is not one of them."""
    return [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d) and "shortcut" not in name
    ]


def _series(name: str, norms: list[float]) -> Row:
    row = {f"probe/gradients/{name}/{i}": norm for i, norm in enumerate(norms, 1) if norm > 0}
    if norms[0] > 0 and norms[-1] > 0:
        ratio = math.log10(norms[0]) - math.log10(norms[-1])
        row[f"probe/gradients/first_to_last_{name}"] = ratio
    return row
