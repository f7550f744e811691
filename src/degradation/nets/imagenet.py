"""The plain and residual nets for ImageNet, of the blocks that the CIFAR nets are made of.

He et al. 2015, Table 1 and Fig. 3: four stages of 64 to 512 channels.
"""

from torch import Tensor, nn

from degradation.config import KINDS, ModelConfig
from degradation.nets.initial import initialise
from degradation.nets.resnet import activation, conv, norm, stages

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Depth -> blocks a stage (Table 1)."""
CHANNELS = 64


class ImageNetResNet(nn.Module):
    """Stem, four stages, global mean, linear; plain and residual differ by the addition in
    `Block.forward`.
    """

    def __init__(self, depth: int, stem_pixels: int, num_classes: int, cfg: ModelConfig):
        super().__init__()
        is_large = stem_pixels == 224
        kernel_size, stride = (7, 2) if is_large else (3, 1)
        stem: list[nn.Module] = [conv(3, CHANNELS, kernel_size, stride, cfg)]
        stem += [norm(CHANNELS, cfg), activation(CHANNELS, cfg)]
        stem += [nn.MaxPool2d(3, 2, padding=1)] if is_large else []
        self.stem = nn.Sequential(*stem)
        self.blocks = nn.Sequential(*stages(BLOCKS[depth], cfg))
        self.linear = nn.Linear(8 * CHANNELS, num_classes)
        self.apply(lambda module: initialise(module, cfg.init))

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 224, 224)
        x = self.stem(x)  # (B, 64, 56, 56)
        x = self.blocks(x)  # (B, 512, 7, 7)
        x = x.mean((2, 3))  # (B, 512)
        return self.linear(x)  # type: ignore[no-any-return]  # (B, num_classes)


def build_imagenet_model(
    kind: str, depth: int, shortcut: str = "A", stem_pixels: int = 224, num_classes: int = 1000
) -> ImageNetResNet:
    """The net, initialised from PyTorch's global generator.

    shortcut: A, B or C as in `ModelConfig`. stem_pixels: 224, a 7x7 conv and a max pool that leave
    a quarter of the pixels' side; 32, a 3x3 conv that leaves it, as is usual on CIFAR. Raises
    ValueError for anything else.
    """
    wanted: list[tuple[str, object, tuple[object, ...]]] = [
        ("kind", kind, KINDS),
        ("depth", depth, tuple(BLOCKS)),
        ("shortcut", shortcut, ("A", "B", "C")),
        ("stem_pixels", stem_pixels, (224, 32)),
    ]
    for name, found, accepted in wanted:
        if found not in accepted:
            raise ValueError(f"{name}: {found!r}; accepted: {', '.join(map(str, accepted))}")
    cfg = ModelConfig(
        net="resnet", kind=kind, depth=depth, width=CHANNELS, shortcut=shortcut, batch_norm=True,
        bn_group_size=0, activation="relu", order="post", init="fan_out",
    )  # fmt: skip
    return ImageNetResNet(depth, stem_pixels, num_classes, cfg)
