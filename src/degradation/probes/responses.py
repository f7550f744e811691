"""Layer responses (He et al. 2015, Sec. 4.2 and Fig. 7): the standard deviation of each 3x3 layer's
output after batch norm and before the nonlinearity or the addition.

Entries: `layer/<i>` for the i-th 3x3 conv, counted from 1, `mean` over them and its decimal
logarithm `log10_mean`, since a plain net's can run to thousands. All in eval mode, as a trained net
is used; batch norm's running statistics lag behind the weights, and the deeper the net the more a
lag comes to (at iteration 0 they know nothing of the net, and the numbers are the bare convs').
Hence `log10_mean_in_training` beside it: with a batch's own statistics a normalised layer has the
standard deviation sqrt(mean of weight^2 + variance of bias) over its channels, whatever the images.
So what Fig. 7 shows is where training has brought batch norm's weights.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from degradation.nets.resnet import Block, ResNet
from degradation.records import Row

IMAGES = 500


@torch.no_grad()
def measure(model: ResNet, images: Tensor, labels: Tensor) -> Row:
    """images: (B, 3, P, P) float32, seen in eval mode; labels are not used. Not for nets in
    pre-activation order, whose batch norms stand before the convs.
    """
    stds: dict[int, Tensor] = {}

    def keep(index: int, _layer: nn.Module, _inputs: object, output: Tensor) -> None:
        stds[index] = output.float().std()

    hooks = [
        layer.register_forward_hook(partial(keep, index))
        for index, layer in enumerate(_after_norms(model), 1)
    ]
    was_training = model.training
    try:
        model.eval()(images)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    values = torch.stack([stds[index] for index in sorted(stds)]).tolist()
    row = {f"probe/responses/layer/{i}": value for i, value in enumerate(values, 1)}
    row["probe/responses/mean"] = sum(values) / len(values)
    scales = [_scale(norm) for norm in _after_norms(model) if isinstance(norm, nn.BatchNorm2d)]
    for name, found in (("log10_mean", values), ("log10_mean_in_training", scales)):
        if sum(found) > 0:
            row[f"probe/responses/{name}"] = math.log10(sum(found) / len(found))
    return row


def _scale(norm: nn.BatchNorm2d) -> float:
    """Standard deviation of its output in train mode."""
    spread = norm.bias.float().var(unbiased=False)
    return float((norm.weight.float().square().mean() + spread).sqrt())


def _after_norms(model: ResNet) -> list[nn.Module]:
    """The modules whose outputs are the responses; without batch norm they pass the conv's on."""
    blocks = [block for block in model.blocks if isinstance(block, Block)]
    assert not any(block.pre for block in blocks)  # config.probes_of
    norms = [norm for block in blocks for norm in (block.norm1, block.norm2)]
    stem = model.stem[1] if isinstance(model.stem, nn.Sequential) else model.stem
    return [stem, *norms]
