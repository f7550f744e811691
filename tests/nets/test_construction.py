"""The deeper net by construction: the same function, in which mode and how nearly, by forward
passes of whole nets alone.
"""

import copy

import pytest
import torch
from tests.helpers import make_config
from torch import Tensor, nn

from degradation.nets.construction import calibrate, copy_and_extend
from degradation.nets.resnet import ResNet
from degradation.probes import construction

DEEP = 26


def trained_like(kind: str, depth: int = 14) -> ResNet:
    """A net with statistics and weights that have moved, as training moves them."""
    torch.manual_seed(1)
    model = ResNet(make_config(f"model.kind={kind}", f"model.depth={depth}").model)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images()), labels()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def images(seed: int = 0) -> Tensor:
    return torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def labels() -> Tensor:
    return torch.arange(64) % 10


def fresh(kind: str, depth: int = DEEP) -> ResNet:
    torch.manual_seed(2)
    return ResNet(make_config(f"model.kind={kind}", f"model.depth={depth}").model)


@torch.no_grad()
def difference(one: ResNet, other: ResNet, mode: str, seed: int = 0) -> float:
    logits = [model.train(mode == "train")(images(seed)) for model in (one, other)]
    return float((logits[0] - logits[1]).abs().max())


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_in_eval_mode_the_deeper_net_is_the_same_function_bit_for_bit(kind: str) -> None:
    shallow, deep = trained_like(kind), fresh(kind)
    added = copy_and_extend(shallow, deep)
    assert len(added) == (DEEP - 14) // 2
    for seed in range(3):
        assert difference(shallow, deep, "eval", seed) == 0


def test_in_train_mode_residual_blocks_of_zero_change_nothing() -> None:
    shallow, deep = trained_like("residual"), fresh("residual")
    copy_and_extend(shallow, deep)
    assert difference(shallow, deep, "train") == 0


def test_calibration_keeps_the_function_in_both_modes() -> None:
    shallow, deep = trained_like("plain"), fresh("plain")
    added = copy_and_extend(shallow, deep)
    neutral = difference(copy.deepcopy(shallow), copy.deepcopy(deep), "train")
    kept = {name: tensor.clone() for name, tensor in shallow.state_dict().items()}
    calibrate(deep, added, images())
    assert difference(shallow, deep, "eval", seed=5) < 1e-4
    assert difference(shallow, deep, "train") < 1e-3 < neutral / 10
    copied = deep.state_dict()
    assert all(torch.equal(copied[name], kept[name]) for name in ("stem.0.weight", "linear.bias"))


def test_a_net_grown_to_its_own_depth_is_a_copy() -> None:
    shallow, deep = trained_like("plain"), fresh("plain", 14)
    assert copy_and_extend(shallow, deep) == []
    assert all(
        torch.equal(tensor, deep.state_dict()[name])
        for name, tensor in shallow.state_dict().items()
    )


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_what_is_measured_leaves_the_statistics_alone(kind: str) -> None:
    shallow, deep = trained_like(kind), fresh(kind)
    before = {name: tensor.clone() for name, tensor in shallow.state_dict().items()}
    row = construction.grow(shallow, deep, images(), labels())
    assert all(torch.equal(tensor, before[name]) for name, tensor in shallow.state_dict().items())
    assert row["probe/construction/neutral_eval_difference"] == 0
    with torch.no_grad():
        wrong = (shallow.train()(images()).argmax(1) != labels()).float().mean().item()
    assert row["probe/construction/shallow_train_error_pct"] == pytest.approx(100 * wrong)
    assert ("probe/construction/calibrated_eval_difference" in row) == (kind == "plain")
