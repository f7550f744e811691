"""How close each block is to the identity: ||F(x)|| / ||x|| of a residual block, whose output is
x + F(x), and ||block(x) - x|| / ||x|| of a plain one; 0 for the identity.

Entries: `block/<i>` for the i-th block, counted from 1, and `mean` over them; of a stack of blocks
also `net`, ||net(x) - x|| / ||x||. Only of blocks that keep the size: where it changes there is no
identity. L2 norms of an image's whole activation, each averaged over the images before the
division, in eval mode.
"""

import math

import torch
from torch import Tensor, nn

from degradation.nets.mlp import LinearBlock, ResidualMLP, Stack
from degradation.nets.resnet import Block, ResNet
from degradation.records import Row

IMAGES = 250


def keeps_size(block: nn.Module) -> bool:
    if isinstance(block, LinearBlock):
        return True
    return isinstance(block, Block) and block.conv1.in_channels == block.conv1.out_channels


@torch.no_grad()
def measure(model: ResNet | ResidualMLP | Stack, images: Tensor, labels: Tensor) -> Row:
    """images: (B, C, P, P) float32; labels are not used. Ratios that are not finite are left out.
    Not for shortcut C, with which a block of F = 0 is a projection.
    """
    was_training = model.training
    ratios: dict[int, float] = {}
    try:
        x = start = model.eval().stem(images)
        for i, block in enumerate(model.blocks, 1):
            if isinstance(block, Block | LinearBlock) and keeps_size(block):
                ratios[i] = (_norm(_change(block, x)) / _norm(x)).item()
            x = block(x)
    finally:
        model.train(was_training)
    finite = {i: ratio for i, ratio in ratios.items() if math.isfinite(ratio)}
    row = {f"probe/identity/block/{i}": ratio for i, ratio in finite.items()}
    if finite:
        row["probe/identity/mean"] = sum(finite.values()) / len(finite)
    if isinstance(model, Stack) and math.isfinite(
        whole := (_norm(x - start) / _norm(start)).item()
    ):
        row["probe/identity/net"] = whole
    return row


def _change(block: Block | LinearBlock, x: Tensor) -> Tensor:
    """What the block does to x, in the shape of x: F(x), or block(x) - x."""
    if isinstance(block, LinearBlock):
        return block.inner(x) if block.residual else block(x) - x
    if block.shortcut is None:
        return block(x) - x  # type: ignore[no-any-return]
    assert isinstance(block.shortcut, nn.Identity)  # config.probes_of
    found: list[Tensor] = []
    branch = block.conv2 if block.pre else block.norm2  # the last before the addition
    hook = branch.register_forward_hook(lambda _layer, _in, output: found.append(output.clone()))
    try:
        block(x)
    finally:
        hook.remove()
    return found[0]


def _norm(x: Tensor) -> Tensor:
    """(B, ...) -> (): L2 over an image, mean over the images."""
    norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return norms.mean()
