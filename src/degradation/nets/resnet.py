"""Plain and residual networks for CIFAR-10: one class that differs by the addition in
`Block.forward`.

He et al. 2015 (arXiv:1512.03385), Sec. 4.2; the pre-activation order from He et al. 2016
(arXiv:1603.05027).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degradation.config import ModelConfig
from degradation.nets.initial import initialise
from degradation.nets.recompute import Checkpointed

NUM_CLASSES = 10


def blocks_per_stage(depth: int) -> tuple[int, int, int]:
    """(depth - 2) / 2 blocks over three stages, as evenly as possible, the extra ones to the
    earlier stages.

    Depths 6n + 2 are the paper's (20, 32, 44, 56, 110, 1202); 18 gives 3-3-2 and 34 gives 6-5-5.
    """
    if depth < 8 or depth % 2:
        raise ValueError(f"model.depth: {depth}; accepted: even numbers from 8")
    blocks = (depth - 2) // 2
    return (blocks + 2) // 3, (blocks + 1) // 3, blocks // 3


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over consecutive groups of the batch, as when a batch is spread over several
    devices.
    """

    def __init__(self, channels: int, group_size: int):
        super().__init__(channels)
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return torch.cat(
            [
                super(GroupedBatchNorm2d, self).forward(part)
                for part in torch.split(x, self.group_size)
            ]
        )


def norm(channels: int, cfg: ModelConfig) -> nn.Module:
    if not cfg.batch_norm:
        return nn.Identity()
    return (
        GroupedBatchNorm2d(channels, cfg.bn_group_size)
        if cfg.bn_group_size
        else nn.BatchNorm2d(channels)
    )


def activation(channels: int, cfg: ModelConfig) -> nn.Module:
    if cfg.activation == "linear":
        return nn.Identity()
    if cfg.activation == "relu":
        return nn.ReLU(inplace=True)
    return nn.PReLU(1 if cfg.activation == "prelu_shared" else channels)


def conv(
    channels_in: int, channels_out: int, kernel_size: int, stride: int, cfg: ModelConfig
) -> nn.Conv2d:
    """Without a bias where batch norm follows, which would cancel it."""
    padding = kernel_size // 2
    return nn.Conv2d(
        channels_in, channels_out, kernel_size, stride, padding, bias=not cfg.batch_norm
    )


class PadShortcut(nn.Module):
    """Option A: every second pixel, new channels zero; no parameters (Sec. 4.2)."""

    def __init__(self, new_channels: int, stride: int):
        super().__init__()
        self.new_channels, self.stride = new_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        # a pool over one pixel, as in fb.resnet.torch: cheaper than two slices, backward above all
        x = F.avg_pool2d(x, 1, self.stride)
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))


def shortcut(channels_in: int, channels_out: int, stride: int, cfg: ModelConfig) -> nn.Module:
    """What is added to the block's output (Sec. 3.2 and Table 3): options A, B and C."""
    same_size = channels_in == channels_out
    if cfg.shortcut == "A" or (cfg.shortcut == "B" and same_size):
        return nn.Identity() if same_size else PadShortcut(channels_out - channels_in, stride)
    projection = conv(channels_in, channels_out, 1, stride, cfg)
    return projection if cfg.order == "pre" else nn.Sequential(projection, norm(channels_out, cfg))


class Block(nn.Module):
    """Two 3x3 convs; in a residual net the shortcut is added to their output."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, cfg: ModelConfig):
        super().__init__()
        pre = cfg.order == "pre"
        self.pre = pre
        self.conv1 = conv(channels_in, channels_out, 3, stride, cfg)
        self.norm1 = norm(channels_in if pre else channels_out, cfg)
        self.act1 = activation(channels_in if pre else channels_out, cfg)
        self.conv2 = conv(channels_out, channels_out, 3, 1, cfg)
        self.norm2 = norm(channels_out, cfg)
        shared = cfg.activation == "prelu_shared"
        self.act2 = self.act1 if shared else activation(channels_out, cfg)
        self.shortcut = (
            shortcut(channels_in, channels_out, stride, cfg) if cfg.kind == "residual" else None
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C_in, H, W) -> (B, C_out, H / stride, W / stride)
        if self.pre:
            # without batch norm the in-place activation would change the shortcut's input
            y: Tensor = self.conv1(self.act1(_own(self.norm1(x), x)))
            y = self.conv2(self.act2(self.norm2(y)))
            return y if self.shortcut is None else y + self.shortcut(x)
        y = self.act1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.shortcut is not None:
            y += self.shortcut(x)
        return self.act2(y)  # type: ignore[no-any-return]


def _own(y: Tensor, x: Tensor) -> Tensor:
    return y.clone() if y is x else y


def stages(counts: Sequence[int], cfg: ModelConfig) -> list[nn.Module]:
    """So many blocks a stage; from the second stage on half the pixels and twice the channels."""
    blocks: list[nn.Module] = []
    channels = cfg.width
    for stage, count in enumerate(counts):
        for index in range(count):
            width = cfg.width * 2**stage
            blocks.append(Block(channels, width, 2 if stage and not index else 1, cfg))
            channels = width
    return blocks


class ResNet(nn.Module):
    """Stem, three stages on pixels / 1, 2, 4, global mean, linear."""

    def __init__(self, cfg: ModelConfig, checkpoint_activations: bool = False):
        super().__init__()
        pre = cfg.order == "pre"
        stem = [conv(3, cfg.width, 3, 1, cfg)]
        self.stem = (
            nn.Sequential(*stem)
            if pre
            else nn.Sequential(*stem, norm(cfg.width, cfg), activation(cfg.width, cfg))
        )
        blocks = stages(blocks_per_stage(cfg.depth), cfg)
        channels = 4 * cfg.width
        if pre:
            blocks += [norm(channels, cfg), activation(channels, cfg)]
        self.blocks = (Checkpointed if checkpoint_activations else nn.Sequential)(*blocks)
        self.linear = nn.Linear(channels, NUM_CLASSES)
        self.apply(lambda module: initialise(module, cfg.init))

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 32, 32)
        x = self.stem(x)  # (B, 16, 32, 32)
        x = self.blocks(x)  # (B, 64, 8, 8)
        x = x.mean((2, 3))  # (B, 64)
        return self.linear(x)  # type: ignore[no-any-return]  # (B, 10)
