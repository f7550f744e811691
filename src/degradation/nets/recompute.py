"""Activation checkpointing: a net keeps what goes into every few blocks only, and computes what
lies between again on the way back (Chen et al. 2016, arXiv:1604.06174).
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Context = AbstractContextManager[None]
KEPT_IN_A_BLOCK = 4
"""Tensors that a block of two convs keeps for its backward pass: in, and what follows the first
conv, the first activation and the second conv.
"""


class Checkpointed(nn.Sequential):
    """The blocks in segments: the same numbers, gradients and statistics."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[no-any-return, no-untyped-call]
        blocks, size = list(self), segment_size(len(self))
        *segments, last = [
            nn.Sequential(*blocks[first : first + size]) for first in range(0, len(blocks), size)
        ]
        for segment in segments:
            x = checkpoint(
                segment,
                x,
                use_reentrant=False,
                preserve_rng_state=False,  # nothing in a block is random
                context_fn=partial(_both_times, segment),
            )
        return last(x)  # type: ignore[no-any-return]  # whose turn is at once


def segment_size(blocks: int) -> int:
    """Blocks a segment: `blocks / size` inputs are kept, and of one segment at a time `size` times
    what is in a block; the sum is least here.
    """
    # not 1: the pre-activation nets end in an activation in place, on what a segment was given
    return max(2, round(math.sqrt(blocks / KEPT_IN_A_BLOCK)))


def _both_times(segment: nn.Module) -> tuple[Context, Context]:
    return nullcontext(), _again(segment)


@contextmanager
def _again(segment: nn.Module) -> Iterator[None]:
    """The second time: batch norm has counted these images already, and counts on copies."""
    buffers = [
        (layer, name, buffer)
        for layer in segment.modules()
        for name, buffer in layer.named_buffers(recurse=False)
    ]
    try:
        for layer, name, buffer in buffers:
            setattr(layer, name, buffer.clone())
        yield
    finally:
        for layer, name, buffer in buffers:
            setattr(layer, name, buffer)
