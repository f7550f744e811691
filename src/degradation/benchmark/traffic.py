"""What a training step has to move through a GPU's memory at least, and how fast that can be."""

import time
from functools import cache

import torch
from torch import nn

from degradation.benchmark.throughput import BATCH_SIZE, paper
from degradation.nets import build_model

PASSES = 7
"""Over the convs' outputs, at least, in a step: written and read forward (conv, batch norm,
addition) and backward.
"""
ELEMENT_BYTES = {"bf16": 2, "tf32": 4, "fp32": 4}
"""Of what a step keeps, by precision."""


def step_bytes(depth: int, precision: str = "bf16") -> float:
    """Passes over the outputs of the convs: what a step of fully fused kernels moves at least, but
    for what stays in the cache (of ResNet-20 most of it).
    """
    return float(PASSES * conv_outputs(depth) * BATCH_SIZE * ELEMENT_BYTES[precision])


@cache
def conv_outputs(depth: int) -> int:
    """Numbers, for one image."""
    cfg = paper(depth, "bf16")
    sizes: list[int] = []
    model = build_model(cfg.model).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _in, output: sizes.append(output.numel()))
    with torch.no_grad():
        model(torch.zeros(1, 3, cfg.data.pixels, cfg.data.pixels))
    return sum(sizes)


def copy_bytes_per_s(device: torch.device, size: int = 2**30, times: int = 20) -> float:
    """Device to device, reads and writes counted."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    wait(device)
    start = time.perf_counter()
    for _ in range(times):
        target.copy_(source)
    wait(device)
    return 2 * size * times / (time.perf_counter() - start)


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
