"""What single blocks are worth to a trained net (Veit, Wilber and Belongie 2016, Sec. 4.1 to 4.3):
its error in percent, in eval mode on test images (with `data.split: val` on those held out), with
blocks deleted or swapped.

Entries, with blocks counted from 1: `intact`; `delete/<i>` without block i; `swap/<i>` with blocks
i and i + 1 in the other order, where they are of one shape; `random/<k>` without k blocks drawn
from those that keep the size, mean over `DRAWS` draws. Summaries: `<lesion>_error_mean`,
`<lesion>_rise_mean` and `<lesion>_rise_median` (`delete`, `swap`) in percent and in points above
`intact`. `delete` there means blocks that keep the size.

To delete a residual block is to drop its F; only the shortcut stays. To delete a plain block is to
put the identity in its place. A plain block that changes the size has no identity; it becomes the
parameter-free shortcut A, which is what stays of a residual one, so that both nets are cut alike.

A lesion before block i leaves that block's input as it is, so only what follows is computed anew.
That costs half a pass over the images a lesion: dozens of passes in all, so it is a probe for the
end of a run (`trainer.probe_every=0`) or afterwards.
"""

import random
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from degradation.nets.resnet import Block, PadShortcut, ResNet
from degradation.probes.identity import keeps_size
from degradation.records import Row

IMAGES = 500
PART = 250
"""Images a pass: all the blocks' inputs are in memory together."""
COUNTS = (2, 5, 10)
"""Blocks deleted at once; the mean over `delete` is the whole truth about one."""
DRAWS = 5

Route = tuple[int, Sequence[Callable[[Tensor], Tensor]]]
"""A lesioned net: up to which module of `ResNet.blocks` it is as before, and what follows there."""


@torch.no_grad()
def measure(model: ResNet, images: Tensor, labels: Tensor) -> Row:
    """images: (B, 3, P, P) float32, of the test set; labels: (B,)."""
    was_training = model.training
    try:
        errors = _errors(model.eval(), _routes(model), images, labels)
    finally:
        model.train(was_training)
    kept = [i for i, block in enumerate(model.blocks, 1) if keeps_size(block)]
    row = {name: error for name, error in errors.items() if not name.startswith("random/")}
    for count in COUNTS:
        drawn = [error for name, error in errors.items() if name.startswith(f"random/{count}/")]
        row |= {f"random/{count}": statistics.mean(drawn)} if drawn else {}
    row |= _summaries("delete", [errors[f"delete/{i}"] for i in kept], errors["intact"])
    swaps = [error for name, error in errors.items() if name.startswith("swap/")]
    row |= _summaries("swap", swaps, errors["intact"])
    return {f"probe/lesion/{key}": value for key, value in row.items()}


def _summaries(lesion: str, errors: list[float], intact: float) -> Row:
    if not errors:
        return {}
    rises = [error - intact for error in errors]
    return {
        f"{lesion}_error_mean": statistics.mean(errors),
        f"{lesion}_rise_mean": statistics.mean(rises),
        f"{lesion}_rise_median": statistics.median(rises),
    }


def _routes(model: ResNet) -> dict[str, Route]:
    """The nets to measure by name; in pre-activation order norm and activation follow the
    blocks.
    """
    layers = list(model.blocks)
    blocks = [layer for layer in layers if isinstance(layer, Block)]
    routes: dict[str, Route] = {"intact": (len(layers), [])}
    for i in range(len(blocks)):
        routes[f"delete/{i + 1}"] = without(layers, {i})
    for i, (one, two) in enumerate(pairwise(blocks)):
        if keeps_size(one) and keeps_size(two):
            routes[f"swap/{i + 1}"] = i, [two, one, *layers[i + 2 :]]
    kept = [i for i, block in enumerate(blocks) if keeps_size(block)]
    for count in COUNTS:
        for number in range(DRAWS if count <= len(kept) else 0):
            drawn = random.Random(f"{count}/{number}").sample(kept, count)
            routes[f"random/{count}/{number}"] = without(layers, set(drawn))
    return routes


def without(layers: Sequence[nn.Module], removed: set[int]) -> Route:
    """removed: indices of blocks."""
    first = min(removed)
    rest = enumerate(layers[first:], first)
    return first, [partial(bypass, layer) if i in removed else layer for i, layer in rest]


def bypass(block: nn.Module, x: Tensor) -> Tensor:
    """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride): what is left of a deleted block, which
    for a residual one is the same as F = 0.
    """
    assert isinstance(block, Block)
    if block.shortcut is None:
        grown = block.conv1.out_channels - block.conv1.in_channels
        y: Tensor = PadShortcut(grown, block.conv1.stride[0])(x) if grown else x
        return y
    y = block.shortcut(x)
    return y if block.pre else block.act2(y)


def _errors(
    model: ResNet, routes: dict[str, Route], images: Tensor, labels: Tensor
) -> dict[str, float]:
    """Percent, by name."""
    wrong = torch.zeros(len(routes), dtype=torch.int64, device=images.device)
    for part, truth in zip(torch.split(images, PART), torch.split(labels, PART), strict=True):
        inputs = [model.stem(part)]
        for layer in model.blocks:
            inputs.append(layer(inputs[-1]))
        for place, (first, rest) in enumerate(routes.values()):
            x = inputs[first].clone()  # activations work in place
            for step in rest:
                x = step(x)
            logits = model.linear(x.mean((2, 3)))  # (B, 10)
            wrong[place] += (logits.argmax(1) != truth).sum()
    errors_pct = [100 * count / len(images) for count in wrong.tolist()]
    return dict(zip(routes, errors_pct, strict=True))
