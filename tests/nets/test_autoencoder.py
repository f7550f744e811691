"""The tutorials' autoencoder: its form, and the two ends of its shortcut."""

import pytest
import torch
from tests.helpers import make_config

from degradation.nets import build_model, count_multiply_adds, count_parameters
from degradation.nets.autoencoder import Autoencoder


def test_form_and_counts() -> None:
    model = Autoencoder(residual=False)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 1, 28, 28)
    convs = (9 + 1) * 16 + (9 * 16 + 1) * 4
    assert count_parameters(model) == convs + (4 * 4 * 16 + 16) + (16 * 4 + 1)
    cfg = make_config(
        "model.net=autoencoder", "model.depth=4", "data.name=mnist", "data.pixels=28"
    ).model
    by_hand = 9 * 16 * 28**2 + 9 * 16 * 4 * 14**2 + 4 * 16 * 14**2 + 16 * 28**2
    assert count_multiply_adds(cfg, (1, 28, 28)) == by_hand


def test_initial_weights_of_the_convs_are_the_configs() -> None:
    cfg = make_config(
        "model.net=autoencoder", "model.depth=4", "model.init=small", "data.name=mnist",
        "data.pixels=28",
    ).model  # fmt: skip
    torch.manual_seed(0)
    model = build_model(cfg, (1, 28, 28))
    assert isinstance(model, Autoencoder)
    for conv in (model.conv1, model.conv2):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.2)
        assert not conv.bias.any()  # type: ignore[union-attr]
    for left in (model.up1, model.up2):
        assert left.weight.std() > 0.05
    assert Autoencoder(residual=False).conv1.weight.std() > 0.1


def test_the_shortcut_adds_the_input_after_the_sigmoid() -> None:
    x = torch.rand(3, 1, 28, 28) * 2 - 1
    made = []
    for residual in (False, True):
        torch.manual_seed(0)
        made.append(Autoencoder(residual))
    plain, with_shortcut = made
    assert torch.equal(with_shortcut(x), plain(x) + x)
    # what the shortcut leaves to be learnt is to be silent
    assert with_shortcut.loss(with_shortcut(x), x).item() == pytest.approx(
        plain(x).square().mean().item(), rel=1e-5
    )


def test_a_sigmoid_cannot_reach_minus_one() -> None:
    """The best that a plain one can do with inputs in [-1, 1] is 0 where they are negative."""
    x = torch.rand(3, 1, 28, 28) * 2 - 1
    best = x.clamp(min=0)
    plain = Autoencoder(residual=False)
    assert plain.loss(best, x) < plain.loss(plain(x), x)
    assert plain(x).min() > 0
