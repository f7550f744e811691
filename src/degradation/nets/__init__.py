"""The nets, and their counts of parameters and multiply-adds."""

import dataclasses
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from degradation.config import ModelConfig
from degradation.nets.autoencoder import Autoencoder
from degradation.nets.mlp import ResidualMLP, Stack
from degradation.nets.resnet import NUM_CLASSES, ResNet

IMAGE = (3, 32, 32)


def build_model(
    cfg: ModelConfig, image: tuple[int, int, int] = IMAGE, checkpoint_activations: bool = False
) -> nn.Module:
    """The net for images (C, P, P), initialised from PyTorch's global generator. Raises ValueError
    for a depth it cannot have.
    """
    channels, pixels, _ = image
    if cfg.net == "resnet":
        return ResNet(cfg, checkpoint_activations)
    if cfg.net == "autoencoder":
        return Autoencoder(cfg.kind == "residual", cfg.init)
    features, is_residual = channels * pixels * pixels, cfg.kind == "residual"
    if cfg.net == "stack":
        return Stack(features, cfg.depth // 2, is_residual, cfg.activation, cfg.init)
    blocks, how = (cfg.depth - 2) // 2, {"activation": cfg.activation, "init": cfg.init}
    return ResidualMLP(features, cfg.width, NUM_CLASSES, blocks, residual=is_residual, **how)


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_multiply_adds(cfg: ModelConfig, image: tuple[int, int, int] = IMAGE) -> int:
    """Multiply-adds for one image (C, P, P); counted once a process, while a GPU would wait."""
    return _counted(dataclasses.astuple(cfg), image)


@cache
def _counted(settings: tuple[Any, ...], image: tuple[int, int, int]) -> int:
    # not on the meta device, whose Python kernels take a second to import
    with torch.random.fork_rng(devices=[]):
        return multiply_adds(build_model(ModelConfig(*settings), image), image)


def multiply_adds(model: nn.Module, image: tuple[int, int, int]) -> int:
    """Of the convs and the linear layers for one image (C, P, P), as the paper counts them. The
    model is left in eval mode and with hooks: one to be thrown away.
    """
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer.weight, Tensor)
        # each weight once a position: of the output, or of a transposed conv's input
        positions = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += layer.weight.numel() * positions[0, 0].numel()

    for layer in model.eval().modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            layer.register_forward_hook(add)
    with torch.no_grad():
        model(torch.zeros(1, *image, device=next(model.parameters()).device))
    return total
