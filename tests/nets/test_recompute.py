"""Activation checkpointing: the same run, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.helpers import TINY, call, make_config, only_run, same_run
from torch import Tensor

from degradation.config import ConfigError, HardwareConfig
from degradation.nets.recompute import Checkpointed, segment_size
from degradation.nets.resnet import ResNet
from degradation.optim import build_optimizer
from degradation.probes import gradients
from degradation.step import EagerStep

NETS: list[dict[str, Any]] = [
    {"kind": "residual"},
    {"kind": "plain"},
    {"bn_group_size": 4},
    {"order": "pre"},
    {"order": "pre", "batch_norm": False},
    {"shortcut": "B", "activation": "prelu"},
]


def nets(**changes: Any) -> tuple[ResNet, ResNet]:
    """The same one without and with checkpointing; 10 blocks in 5 segments of 2."""
    overrides = [f"model.{key}={value}" for key, value in ({"depth": 22} | changes).items()]
    cfg = make_config("model.width=4", *overrides)
    found = []
    for is_checkpointed in (False, True):
        torch.manual_seed(0)
        found.append(ResNet(cfg.model, is_checkpointed).train())
    assert isinstance(found[1].blocks, Checkpointed)
    assert not isinstance(found[0].blocks, Checkpointed)
    return found[0], found[1]


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(8, 3, 8, 8, generator=generator)
    return images, torch.randint(10, (8,), generator=generator)


@pytest.mark.parametrize("changes", NETS, ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_are_the_same(changes: dict[str, Any], precision: str) -> None:
    """Weights, gradients, statistics and counts."""
    models, losses = nets(**changes), []
    for model in models:
        step = EagerStep(model, build_optimizer(model, make_config().optim), precision)
        for seed in range(3):
            step(*batch(seed), 0.1)
        losses.append(step.read())
    assert losses[0] == losses[1]
    theirs, ours = (model.state_dict() for model in models)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)
    counts = [value for key, value in ours.items() if key.endswith("num_batches_tracked")]
    per_step = 2 if changes.get("bn_group_size") else 1  # groups of the batch of 8
    assert set(map(int, counts)) <= {3 * per_step}


def test_blocks_are_computed_again_on_the_way_back() -> None:
    for model, times in zip(nets(), (1, 2), strict=True):
        calls: list[object] = []
        model.blocks[0].register_forward_hook(lambda *_, calls=calls: calls.append(0))
        loss = model(batch(0)[0]).sum()
        assert len(calls) == 1
        loss.backward()
        assert len(calls) == times
        with torch.no_grad():
            model.eval()(batch(0)[0])
        assert len(calls) == times + 1


def test_statistics_are_kept_after_an_error_on_the_way_back() -> None:
    model = nets()[1]
    logits = model(batch(0)[0])
    buffers = list(model.buffers())
    before = [buffer.clone() for buffer in buffers]

    def fail(*_: object) -> None:
        raise ArithmeticError

    model.blocks[2].register_forward_hook(fail)
    with pytest.raises(ArithmeticError):
        logits.sum().backward()
    assert all(ours is theirs for ours, theirs in zip(model.buffers(), buffers, strict=True))
    assert all(map(torch.equal, buffers, before))


def test_gradient_probe_sees_the_same_net() -> None:
    without, with_it = (gradients.measure(model, *batch(0)) for model in nets())
    assert with_it == without


@pytest.mark.parametrize("depth", range(8, 34, 2))
@pytest.mark.parametrize("batch_norm", [True, False])
def test_wherever_the_segments_end(depth: int, batch_norm: bool) -> None:
    """Activations in place must not meet what is kept."""
    grads = []
    for model in nets(order="pre", depth=depth, batch_norm=batch_norm):
        model(batch(0)[0]).square().sum().backward()
        grads.append([parameter.grad for parameter in model.parameters()])
    assert all(map(torch.equal, *grads))


@pytest.mark.parametrize("blocks", [9, 54, 600])
def test_segments_keep_the_least(blocks: int) -> None:
    """Inputs of all segments, and the four tensors of each block of one."""
    kept = {size: -(-blocks // size) + 4 * size for size in range(1, blocks + 1)}
    assert kept[segment_size(blocks)] <= min(kept.values()) + 1  # of a size rounded


def test_run_is_the_same_and_goes_on_without(tmp_path: Path) -> None:
    """It is no part of a run's identity."""
    run = ("data=shapes", "tracking=off", "hardware.device=cpu", *TINY)
    for option in ("true", "false"):
        root = f"output_root={tmp_path / option}"
        assert call(*run, f"hardware.checkpoint_activations={option}", root) == 0
    same_run(only_run(tmp_path / "true"), only_run(tmp_path / "false"))
    assert call(*run, f"output_root={tmp_path / 'true'}") == 0  # finished already: the same run


def test_steps_that_compute_again_are_not_captured() -> None:
    assert HardwareConfig().captures
    assert not HardwareConfig(capture=False).captures
    assert not HardwareConfig(checkpoint_activations=True).captures


def test_other_nets_have_no_segments() -> None:
    accepted = "hardware.checkpoint_activations: True; accepted: false for model.net=mlp"
    with pytest.raises(ConfigError, match=accepted):
        make_config("model.net=mlp", "hardware.checkpoint_activations=true")
