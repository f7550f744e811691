"""The nets against hand-derived counts, hand-written forward passes and torchvision's block."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import make_config
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from degradation.config import ModelConfig
from degradation.nets import count_multiply_adds, count_parameters
from degradation.nets.resnet import Block, PadShortcut, ResNet, blocks_per_stage

PARAMETERS = {
    18: 195_738,
    20: 269_722,
    32: 464_154,
    34: 468_826,
    44: 658_586,
    56: 853_018,
    110: 1_727_962,
    1202: 19_421_274,
}
MULTIPLY_ADDS = {
    18: 35_832_448,
    20: 40_551_040,
    34: 73_581_184,
    56: 125_485_696,
    110: 252_887_680,
}
LAYOUTS = {
    8: [1, 1, 1],
    10: [2, 1, 1],
    12: [2, 2, 1],
    18: [3, 3, 2],
    20: [3, 3, 3],
    32: [5, 5, 5],
    34: [6, 5, 5],
    44: [7, 7, 7],
    56: [9, 9, 9],
    110: [18, 18, 18],
    1202: [200, 200, 200],
}
KINDS = ("plain", "residual")


def model_config(**changes: Any) -> ModelConfig:
    overrides = [f"model.{key}={value}" for key, value in changes.items()]
    return make_config(*overrides, preset="paper").model


def net(seed: int = 0, **changes: Any) -> Any:
    """A ResNet whose parts the tests reach into, which nn.Module's types do not know."""
    torch.manual_seed(seed)
    return ResNet(model_config(**changes))


def skeleton(**changes: Any) -> ResNet:
    """A net without memory for its weights."""
    with torch.device("meta"):
        return ResNet(model_config(**changes))


def images(count: int = 4, pixels: int = 32, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, pixels, pixels, generator=torch.Generator().manual_seed(seed))


def awake(model: Any, seed: int = 2) -> Any:
    """Batch norm with scales, shifts and statistics that differ by channel, as after training."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.data.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model


def stage_sizes(model: ResNet) -> list[int]:
    widths = [block.conv2.out_channels for block in model.blocks if isinstance(block, Block)]
    return [widths.count(width) for width in (16, 32, 64)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("depth", "expected"), PARAMETERS.items())
def test_parameters(kind: str, depth: int, expected: int) -> None:
    assert count_parameters(skeleton(kind=kind, depth=depth)) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("depth", "expected"), MULTIPLY_ADDS.items())
def test_multiply_adds(kind: str, depth: int, expected: int) -> None:
    assert count_multiply_adds(model_config(kind=kind, depth=depth)) == expected


def by_hand(layout: list[int], width: int, pixels: int) -> tuple[int, int]:
    """Parameters and multiply-adds of a net with option A, conv by conv."""
    parameters = 27 * width + 2 * width  # stem, and scale and shift of its batch norm
    multiply_adds = 27 * width * pixels**2
    channels, side = width, pixels
    for stage, blocks in enumerate(layout):
        wider = width * 2**stage
        side = pixels // 2**stage
        for _ in range(blocks):
            weights = 9 * channels * wider + 9 * wider * wider
            parameters += weights + 2 * 2 * wider
            multiply_adds += weights * side**2
            channels = wider
    return parameters + channels * 10 + 10, multiply_adds + channels * 10


@pytest.mark.parametrize(("depth", "width", "pixels"), [(18, 16, 32), (34, 8, 16), (12, 3, 8)])
def test_counts_layer_by_layer(depth: int, width: int, pixels: int) -> None:
    cfg = model_config(depth=depth, width=width)
    parameters, multiply_adds = by_hand(LAYOUTS[depth], width, pixels)
    assert count_parameters(ResNet(cfg)) == parameters
    assert count_multiply_adds(cfg, (3, pixels, pixels)) == multiply_adds


@pytest.mark.parametrize(("depth", "expected"), LAYOUTS.items())
def test_layout(depth: int, expected: list[int]) -> None:
    model = skeleton(depth=depth)
    assert stage_sizes(model) == expected
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.stride for conv in convs].count((2, 2)) == 2
    assert all(conv.kernel_size == (3, 3) for conv in convs)


@given(st.integers(4, 400).map(lambda half: 2 * half))
def test_depth_counts_weighted_layers_and_extra_blocks_come_early(depth: int) -> None:
    stages = blocks_per_stage(depth)
    assert 1 + 2 * sum(stages) + 1 == depth
    assert sorted(stages, reverse=True) == list(stages)
    assert stages[0] - stages[2] <= 1


@pytest.mark.parametrize("depth", [-2, 0, 6, 7, 19])
def test_impossible_depths(depth: int) -> None:
    with pytest.raises(ValueError, match=f"model.depth: {depth}; accepted: even numbers from 8"):
        blocks_per_stage(depth)


def test_shapes_at_the_boundaries() -> None:
    model = net(depth=20)
    x = model.stem(images())
    assert x.shape == (4, 16, 32, 32)
    assert model.blocks(x).shape == (4, 64, 8, 8)
    assert model(images()).shape == (4, 10)


def test_plain_and_residual_begin_with_the_same_weights() -> None:
    plain, residual = (net(kind=kind, depth=34).state_dict() for kind in KINDS)
    assert list(plain) == list(residual)
    assert all(torch.equal(plain[key], residual[key]) for key in plain)


def shortcut_a(x: Tensor, y: Tensor) -> Tensor:
    """Every second pixel, new channels zero, written with NumPy."""
    wanted = np.zeros(y.shape, np.float32)
    stride = x.shape[-1] // y.shape[-1]
    wanted[:, : x.shape[1]] = x.detach().numpy()[:, :, ::stride, ::stride]
    return torch.from_numpy(wanted)


@pytest.mark.parametrize("train", [True, False])
def test_kinds_differ_by_the_addition_alone(train: bool) -> None:
    plain, residual = (awake(net(kind=kind, depth=18)).train(train) for kind in KINDS)
    x = plain.stem(images())
    for block in plain.blocks:
        y = block.norm2(block.conv2(block.act1(block.norm1(block.conv1(x)))))
        x = torch.relu(y + shortcut_a(x, y))
    assert torch.equal(plain.linear(x.mean((2, 3))), residual(images()))
    assert not torch.allclose(plain(images()), residual(images()))


def test_shortcut_a_by_hand() -> None:
    x = torch.arange(2 * 2 * 4 * 4, dtype=torch.float32).reshape(2, 2, 4, 4)
    out = PadShortcut(new_channels=2, stride=2)(x)
    assert out.shape == (2, 4, 2, 2)
    assert out[0, 0].tolist() == [[0, 2], [8, 10]]
    assert out[1, 1].tolist() == [[48, 50], [56, 58]]
    assert not out[:, 2:].any()


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("channels", "stride", "option"), [((8, 8), 1, "A"), ((8, 16), 2, "B"), ((8, 8), 1, "C")]
)
def test_residual_block_equals_torchvisions(
    channels: tuple[int, int], stride: int, option: str, train: bool
) -> None:
    torch.manual_seed(0)
    ours = awake(Block(*channels, stride, model_config(kind="residual", shortcut=option)))
    projection = None
    if option != "A":
        projection = nn.Sequential(
            nn.Conv2d(*channels, 1, stride, bias=False), nn.BatchNorm2d(channels[1])
        )
    theirs = BasicBlock(*channels, stride, projection)
    names = {"norm": "bn", "shortcut": "downsample"}
    state = {}
    for key, value in ours.state_dict().items():
        for our_name, their_name in names.items():
            key = key.replace(our_name, their_name)
        state[key] = value
    theirs.load_state_dict(state)
    x = torch.randn(4, channels[0], 8, 8)
    assert torch.equal(ours.train(train)(x), theirs.train(train)(x))


@pytest.mark.parametrize(("option", "projections"), [("A", 0), ("B", 2), ("C", 9)])
def test_options_have_projections_where_they_should(option: str, projections: int) -> None:
    model = skeleton(kind="residual", depth=20, shortcut=option)
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    ones = [conv for conv in convs if conv.kernel_size == (1, 1)]
    assert len(ones) == projections
    extra = sum(conv.weight.numel() + 2 * conv.out_channels for conv in ones)
    assert count_parameters(model) == PARAMETERS[20] + extra


@pytest.mark.parametrize(("option", "projections"), [("B", 2), ("C", 9)])
def test_pre_activation_adds_projections_as_they_are(option: str, projections: int) -> None:
    """A norm after them would stand on the path that is to be left alone."""
    model = skeleton(kind="residual", depth=20, order="pre", shortcut=option)
    shortcuts = [block.shortcut for block in model.blocks if isinstance(block, Block)]
    assert sum(isinstance(shortcut, nn.Conv2d) for shortcut in shortcuts) == projections
    assert sum(isinstance(shortcut, nn.Identity) for shortcut in shortcuts) == 9 - projections


def batch_norm(x: Tensor, module: Any) -> Any:
    """Written out: mean and biased variance over images and pixels."""
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
    weight, bias = (tensor[:, None, None] for tensor in (module.weight, module.bias))
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


@pytest.mark.parametrize("kind", KINDS)
def test_pre_activation_by_hand(kind: str) -> None:
    model = awake(net(kind=kind, depth=12, order="pre", width=4))
    *blocks, last_norm, _ = model.blocks
    x = model.stem(images(pixels=16))
    for block in blocks:
        y = torch.relu(batch_norm(x, block.norm1))
        y = F.conv2d(y, block.conv1.weight, stride=block.conv1.stride, padding=1)
        y = torch.relu(batch_norm(y, block.norm2))
        y = F.conv2d(y, block.conv2.weight, padding=1)
        x = y + shortcut_a(x, y) if kind == "residual" else y
    x = torch.relu(batch_norm(x, last_norm))
    expected = model.linear(x.mean((2, 3)))
    torch.testing.assert_close(model(images(pixels=16)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "option"), [("plain", "A"), ("residual", "A"), ("residual", "B")])
def test_pre_activation_without_batch_norm_leaves_its_input_alone(kind: str, option: str) -> None:
    model = net(kind=kind, depth=8, order="pre", batch_norm=False, width=4, shortcut=option)
    block = model.blocks[0]
    x = torch.randn(2, 4, 8, 8)
    before = x.clone()
    y = block(x)
    assert torch.equal(x, before)
    inner = block.conv2(torch.relu(block.conv1(torch.relu(before))))
    assert torch.equal(y, inner + before if kind == "residual" else inner)
    model(images(pixels=8)).sum().backward()


def test_without_batch_norm_the_convs_have_biases() -> None:
    model = net(depth=18, batch_norm=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert all(conv.bias is not None and not conv.bias.any() for conv in convs)
    channels = sum(conv.out_channels for conv in convs)
    # batch norm has a scale and a shift a channel, a conv without it one bias
    assert count_parameters(model) == PARAMETERS[18] - channels
    assert count_multiply_adds(model_config(depth=18, batch_norm=False)) == MULTIPLY_ADDS[18]


def test_prelu_has_a_slope_a_channel() -> None:
    model = net(depth=18, activation="prelu")
    slopes = [module.weight for module in model.modules() if isinstance(module, nn.PReLU)]
    assert sorted({len(slope) for slope in slopes}) == [16, 32, 64]
    assert len(slopes) == 17
    assert all((slope == 0.25).all() for slope in slopes)
    assert count_parameters(model) == PARAMETERS[18] + sum(map(len, slopes))
    x = torch.randn(2, 16, 4, 4)
    model.stem[2].weight.data.uniform_(0, 1)
    slope = model.stem[2].weight[:, None, None]
    assert torch.equal(model.stem[2](x), torch.where(x > 0, x, slope * x))


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("kind", KINDS)
def test_without_activation_the_net_is_affine(kind: str, order: str) -> None:
    model = awake(net(kind=kind, depth=12, width=4, activation="linear", order=order))
    model.double().eval()
    a, b = (images(2, 16, seed).double() for seed in (1, 2))
    torch.testing.assert_close(model(a) + model(b) - model(0 * a), model(a + b))


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("kind", KINDS)
def test_shared_prelu_is_one_slope_a_block(kind: str, order: str) -> None:
    model = awake(net(depth=18, activation="prelu_shared", kind=kind, order=order)).eval()
    # eight blocks, and one more: the stem's, or the one before the mean
    assert count_parameters(model) == count_parameters(net(depth=18, kind=kind, order=order)) + 9
    block = model.blocks[3]  # halves the pixels, doubles the channels
    block.act1.weight.data.fill_(-0.7)
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(3))

    def act(y: Tensor) -> Tensor:
        return torch.where(y > 0, y, -0.7 * y)

    if order == "pre":
        expected = block.conv2(act(block.norm2(block.conv1(act(block.norm1(x))))))
    else:
        expected = block.norm2(block.conv2(act(block.norm1(block.conv1(x)))))
    if kind == "residual":
        expected[:, :16] += x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), expected if order == "pre" else act(expected))


def test_groups_are_normalised_apart() -> None:
    grouped = net(depth=8, bn_group_size=64, width=4)
    whole = net(depth=8, width=4)
    x = images(128, pixels=8)
    halves = torch.cat([copy.deepcopy(whole)(half) for half in (x[:64], x[64:])])
    torch.testing.assert_close(grouped(x), halves)
    assert not torch.allclose(whole(x), halves)


def test_groups_share_statistics_for_evaluation() -> None:
    grouped, whole = (awake(net(depth=8, bn_group_size=size)).eval() for size in (2, 0))
    assert torch.equal(grouped(images(3)), whole(images(3)))


@pytest.mark.parametrize("mode", ["fan_out", "fan_in", "xavier", "small", "torch"])
def test_initial_weights(mode: str) -> None:
    model = net(depth=20, init=mode)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_in, fan_out = 9 * module.in_channels, 9 * module.out_channels
            variances = {"fan_out": 2 / fan_out, "fan_in": 2 / fan_in, "small": 1e-4}
            variances |= {"xavier": 2 / (fan_in + fan_out), "torch": 1 / (3 * fan_in)}
            spread = math.sqrt(variances[mode])
            tolerance = 5 / math.sqrt(2 * module.weight.numel())  # five standard errors
            assert module.weight.std().item() == pytest.approx(spread, rel=tolerance)
            # uniform weights end at sqrt(3) standard deviations, normal ones do not
            is_uniform = module.weight.abs().max().item() <= 1.7321 * spread
            assert is_uniform == (mode == "torch")
        elif isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert not module.bias.any()
    assert 0.95 / math.sqrt(64) < model.linear.weight.abs().max() <= 1 / math.sqrt(64)
    spread = 1 / math.sqrt(3 * 64)
    assert model.linear.weight.std().item() == pytest.approx(spread, rel=0.1)
    assert not model.linear.bias.any()


def test_seed_decides_the_weights() -> None:
    first, again, other = (net(seed=seed, depth=8).linear.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
