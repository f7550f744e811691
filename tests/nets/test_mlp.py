"""Fully connected nets against arithmetic done by hand, and plain against residual."""

import pytest
import torch
from tests.helpers import make_config
from torch import Tensor, nn

from degradation.nets import build_model, count_multiply_adds, count_parameters
from degradation.nets.mlp import LinearBlock, ResidualMLP, Stack
from degradation.probes import identity


def constant(block: LinearBlock, weight: float, biases: tuple[float, float]) -> LinearBlock:
    with torch.no_grad():
        for layer, bias in zip((block.linear1, block.linear2), biases, strict=True):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    return block


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], [[3.0, 5.0], [5.0, 7.0]]),  # F is [[2, 3], [2, 3]]
        ([[1.0], [2.0]], [[2.5], [3.5]]),  # F is (1.5, 1.5)
    ],
)
def test_the_worked_example(columns: list[list[float]], expected: list[list[float]]) -> None:
    """y = F2(F1(x)) + x with both weight matrices 0.5 everywhere, b1 = 0.5 and b2 = -0.5."""
    block = constant(LinearBlock(2, True, "relu", "fan_out"), 0.5, (0.5, -0.5))
    x = torch.tensor(columns)  # each column a vector, as W x has it
    assert block(x.T).T.tolist() == expected


def test_the_classroom_example() -> None:
    """A layer whose weights are all 0.2 turns (2, 1) into (0.6, 0.6), nearer to 0 than to x."""
    block = constant(LinearBlock(2, False, "relu", "fan_out"), 0.2, (0.0, 0.0))
    x = torch.tensor([2.0, 1.0])
    y = block.act1(block.linear1(x))
    assert y.tolist() == pytest.approx([0.6, 0.6])
    assert y.norm() < (y - x).norm()


def test_plain_and_residual_differ_by_the_addition_alone() -> None:
    x = torch.rand(7, 5)
    made = []
    for residual in (False, True):
        torch.manual_seed(3)
        made.append(LinearBlock(5, residual, "relu", "fan_out"))
    plain, with_shortcut = made
    for ours, theirs in zip(plain.parameters(), with_shortcut.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    inner = plain.linear2(plain.linear1(x).relu())
    assert torch.equal(plain(x), inner.relu())
    assert torch.equal(with_shortcut(x), (inner + x).relu())


def test_shapes_and_counts() -> None:
    model = ResidualMLP(in_features=5, hidden_features=10, out_features=2, num_blocks=2)
    assert model(torch.zeros(10, 5)).shape == (10, 2)
    assert not model.linear.bias.any()
    assert count_parameters(model) == 6 * 10 + 4 * 11 * 10 + 11 * 2
    cfg = make_config("model.net=mlp", "model.depth=8", "model.width=20", "data.pixels=8").model
    assert count_multiply_adds(cfg, (3, 8, 8)) == 192 * 20 + 6 * 20 * 20 + 20 * 10
    linears = [layer for layer in build_model(cfg).modules() if isinstance(layer, nn.Linear)]
    assert len(linears) == cfg.depth


def test_a_residual_stack_of_zeros_copies_its_input() -> None:
    x = torch.rand(6, 1, 4, 4)
    model = Stack(16, 3, True, "relu", "small")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(model(x), x)
    assert model.loss(model(x), x) == 0


@pytest.mark.parametrize("init", ["small", "fan_in"])
def test_spread_of_the_initial_weights(init: str) -> None:
    torch.manual_seed(0)
    layer = LinearBlock(400, True, "relu", init).linear1
    expected = 0.01 if init == "small" else (2 / 400) ** 0.5
    assert layer.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert not layer.bias.any()


def test_linear_means_no_activation() -> None:
    x = torch.randn(4, 3)
    block = LinearBlock(3, True, "linear", "torch")
    w1, w2 = block.linear1, block.linear2
    expected: Tensor = (x @ w1.weight.T + w1.bias) @ w2.weight.T + w2.bias + x
    assert torch.allclose(block(x), expected, atol=1e-6)


def test_prelu_has_a_slope_a_layer_but_the_last() -> None:
    model = build_model(
        make_config("model.net=mlp", "model.depth=6", "model.activation=prelu").model
    )
    slopes = [module.weight.tolist() for module in model.modules() if isinstance(module, nn.PReLU)]
    assert slopes == [[0.25]] * 5


@pytest.mark.parametrize("residual", [False, True])
def test_distance_of_a_stack_from_the_identity(residual: bool) -> None:
    torch.manual_seed(0)
    model, x = Stack(16, 2, residual, "relu", "fan_in"), torch.rand(9, 1, 4, 4)
    row = identity.measure(model, x, torch.zeros(9))
    flat = x.flatten(1)
    first, second = (block for block in model.blocks if isinstance(block, LinearBlock))
    changes = [first.inner(flat), second.inner(first(flat))]
    if not residual:
        changes = [first(flat) - flat, second(first(flat)) - first(flat)]
    inputs = [flat, first(flat)]
    for number, (change, given) in enumerate(zip(changes, inputs, strict=True), 1):
        ratio = change.norm(dim=1).mean() / given.norm(dim=1).mean()
        assert row[f"probe/identity/block/{number}"] == pytest.approx(ratio.item(), rel=1e-5)
    whole = (model(x) - x).flatten(1).norm(dim=1).mean() / flat.norm(dim=1).mean()
    assert row["probe/identity/net"] == pytest.approx(whole.item(), rel=1e-5)
