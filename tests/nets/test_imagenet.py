"""The ImageNet nets against torchvision's, hand-derived counts and the paper's numbers."""

from typing import Any

import pytest
import torch
from tests.nets.test_resnet import awake, shortcut_a
from torch import Tensor, nn
from torchvision import models

from degradation.nets import count_parameters, multiply_adds
from degradation.nets.imagenet import ImageNetResNet, build_imagenet_model
from degradation.nets.resnet import Block

KINDS = ("plain", "residual")
IMAGE = (3, 224, 224)
LAYOUTS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}


def net(*args: Any, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build_imagenet_model(*args)


def skeleton(*args: Any) -> ImageNetResNet:
    """A net without memory for its weights."""
    with torch.device("meta"):
        return build_imagenet_model(*args)


def images(count: int = 2, pixels: int = 64, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, pixels, pixels, generator=torch.Generator().manual_seed(seed))


def their_names(depth: int) -> dict[str, str]:
    """Our prefixes -> torchvision's."""
    names = {"stem.0.": "conv1.", "stem.1.": "bn1.", "linear.": "fc."}
    places = [(stage, i) for stage, count in enumerate(LAYOUTS[depth], 1) for i in range(count)]
    for number, (stage, i) in enumerate(places):
        for ours, theirs in (("norm", "bn"), ("conv", "conv"), ("shortcut", "downsample")):
            names[f"blocks.{number}.{ours}"] = f"layer{stage}.{i}.{theirs}"
    return names


@pytest.mark.parametrize("depth", LAYOUTS)
@pytest.mark.parametrize("train", [True, False])
def test_logits_equal_torchvisions(depth: int, train: bool) -> None:
    ours = awake(net("residual", depth, "B")).train(train)
    theirs = getattr(models, f"resnet{depth}")().train(train)
    state = {}
    for key, value in ours.state_dict().items():
        (prefix,) = (prefix for prefix in their_names(depth) if key.startswith(prefix))
        state[their_names(depth)[prefix] + key.removeprefix(prefix)] = value
    theirs.load_state_dict(state)
    logits = ours(images())
    assert logits.shape == (2, 1000)
    assert logits.std() > 0.1
    assert torch.equal(logits, theirs(images()))


@pytest.mark.parametrize("depth", LAYOUTS)
@pytest.mark.parametrize("pixels", [224, 32])
def test_plain_and_residual_begin_with_the_same_weights(depth: int, pixels: int) -> None:
    plain, residual = (net(kind, depth, "A", pixels, 10).state_dict() for kind in KINDS)
    assert list(plain) == list(residual)
    assert all(torch.equal(plain[key], residual[key]) for key in plain)


@pytest.mark.parametrize("train", [True, False])
def test_kinds_differ_by_the_addition_alone(train: bool) -> None:
    plain, residual = (awake(net(kind, 18, "A", 32, 10)).train(train) for kind in KINDS)
    x = plain.stem(images(pixels=16))
    for block in plain.blocks:
        y = block.norm2(block.conv2(block.act1(block.norm1(block.conv1(x)))))
        x = torch.relu(y + shortcut_a(x, y))
    assert torch.equal(plain.linear(x.mean((2, 3))), residual(images(pixels=16)))
    assert not torch.allclose(plain(images(pixels=16)), residual(images(pixels=16)))


def test_shapes_at_the_boundaries() -> None:
    """Table 1: 112 pixels after the first conv, then 56, 28, 14 and 7."""
    model = skeleton("plain", 34)
    x = torch.zeros(1, 3, 224, 224, device="meta")
    assert model.stem[0](x).shape == (1, 64, 112, 112)
    x = model.stem(x)
    assert x.shape == (1, 64, 56, 56)
    shapes = []
    for block in model.blocks:
        assert isinstance(block, Block)
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    stages = [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert shapes == [s for s, count in zip(stages, LAYOUTS[34], strict=True) for _ in range(count)]
    small = skeleton("plain", 34, "A", 32, 10)
    assert small.stem(torch.zeros(1, 3, 32, 32, device="meta")).shape == (1, 64, 32, 32)
    assert not any(isinstance(layer, nn.MaxPool2d) for layer in small.modules())


def by_hand(depth: int, pixels: int, classes: int) -> tuple[int, int]:
    """Parameters and multiply-adds with option A, conv by conv."""
    kernel, side = (49, 112) if pixels == 224 else (9, 32)
    parameters = 3 * kernel * 64 + 2 * 64
    total = 3 * kernel * 64 * side**2
    channels, side = 64, 56 if pixels == 224 else 32
    for stage, blocks in enumerate(LAYOUTS[depth]):
        wider, size = 64 * 2**stage, (side // 2**stage) ** 2
        for _ in range(blocks):
            weights = 9 * channels * wider + 9 * wider * wider
            parameters += weights + 2 * 2 * wider
            total += weights * size
            channels = wider
    return parameters + 512 * classes + classes, total + 512 * classes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", LAYOUTS)
@pytest.mark.parametrize(("pixels", "classes"), [(224, 1000), (32, 10)])
def test_counts_layer_by_layer(kind: str, depth: int, pixels: int, classes: int) -> None:
    model = skeleton(kind, depth, "A", pixels, classes)
    parameters, total = by_hand(depth, pixels, classes)
    assert count_parameters(model) == parameters
    assert multiply_adds(model, (3, pixels, pixels)) == total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("depth", "billions"), [(18, 1.8), (34, 3.6)])
def test_multiply_adds_are_the_papers(kind: str, depth: int, billions: float) -> None:
    """Table 1."""
    assert round(multiply_adds(skeleton(kind, depth), IMAGE) / 1e9, 1) == billions


def test_multiply_adds_of_vgg_19_are_the_papers() -> None:
    with torch.device("meta"):
        vgg = models.vgg19()
    assert round(multiply_adds(vgg, IMAGE) / 1e9, 1) == 19.6


@pytest.mark.parametrize("depth", LAYOUTS)
@pytest.mark.parametrize(("option", "projections"), [("A", 0), ("B", 3), ("C", None)])
def test_options_have_projections_where_they_should(
    depth: int, option: str, projections: int | None
) -> None:
    model = skeleton("residual", depth, option)
    ones = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert len(ones) == (sum(LAYOUTS[depth]) if projections is None else projections)


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "dense"}, {"depth": 50}, {"shortcut": "D"}, {"stem_pixels": 64}],
)
def test_what_there_is_not_is_named(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}: {value!r}; accepted: "):
        build_imagenet_model(**dict[str, Any]({"kind": "plain", "depth": 18} | wrong))
