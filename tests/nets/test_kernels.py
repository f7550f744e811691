"""Batch norm by other kernels than PyTorch takes: where they may be chosen, and that it is batch
norm. The Triton kernels' own numbers: test_fused.py.
"""

from pathlib import Path

import pytest
import torch
from tests.helpers import (
    TINY,
    call,
    fresh_state,
    make_config,
    noise_data,
    only_run,
    same_run,
    tiny_config,
)
from torch import nn

from degradation import config
from degradation.config import ConfigError
from degradation.loop import State, train
from degradation.nets import build_model
from degradation.nets.kernels import NativeBatchNorm2d, forward_by
from degradation.step import EagerStep

RUN = ("data=shapes", "tracking=off", *TINY)
NATIVE = "hardware.batch_norm_kernels=native"
FUSED = "hardware.batch_norm_kernels=fused"


def test_on_a_cpu_pytorchs_own_is_what_it_takes(tmp_path: Path) -> None:
    """In every row, with a probe that has batch norm's statistics forget nothing."""
    probes = ("trainer.probes=[shattering,gradients]", "trainer.probe_every=10")
    for name, kernels in (("library", ()), ("native", (NATIVE,))):
        assert call(*RUN, *probes, *kernels, f"output_root={tmp_path / name}") == 0
    same_run(only_run(tmp_path / "native"), only_run(tmp_path / "library"))


def test_the_net_stays_what_it_was_but_for_its_kernels() -> None:
    model = build_model(make_config("model.depth=8").model)
    before = dict(model.state_dict())
    assert forward_by("native", model) is model
    kinds = {type(layer) for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)}
    assert kinds == {NativeBatchNorm2d}
    assert model.state_dict().keys() == before.keys()
    model(torch.randn(4, 3, 16, 16))
    assert model.state_dict()["stem.1.num_batches_tracked"] == 1


def norms(state: State) -> set[type[nn.Module]]:
    return {type(layer) for layer in state.model.modules() if isinstance(layer, nn.BatchNorm2d)}


@pytest.mark.parametrize(
    ("kernels", "kind"), [("library", nn.BatchNorm2d), ("native", NativeBatchNorm2d)]
)
def test_the_loop_trains_by_the_kernels_of_its_config(kernels: str, kind: type[nn.Module]) -> None:
    cfg = tiny_config(f"hardware.batch_norm_kernels={kernels}")
    state = fresh_state(cfg)
    next(train(state, noise_data(cfg), cfg))
    assert norms(state) == {kind}


def test_a_fused_step_calls_the_fused_net() -> None:
    pytest.importorskip("triton")
    from degradation.nets.fused import Fused

    state = fresh_state(tiny_config())
    step = EagerStep(state.model, state.optimizer, "fp32", kernels="fused_early")
    assert isinstance(step.forward, Fused)
    assert step.forward.early
    assert step.forward.net is state.model


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ([NATIVE, "model.net=mlp"], "library but for ResNets with batch norm over the whole batch"),
        ([NATIVE, "model.batch_norm=false"], "library but for ResNets with batch norm"),
        ([NATIVE, "model.bn_group_size=8"], "library but for ResNets with batch norm"),
        ([NATIVE, "hardware.checkpoint_activations=true"], "library but for ResNets"),
        ([FUSED, "model.order=pre"], "library or native but for nets in the order post"),
        ([FUSED, "model.activation=prelu"], "library or native but for nets in the order post"),
        ([FUSED, "model.shortcut=B"], "library or native but for nets in the order post"),
        ([FUSED, "model.width=6"], "library or native but for nets in the order post"),
        (["hardware.batch_norm_kernels=cudnn"], "library, native, fused, fused_early"),
    ],
)
def test_what_kernels_cannot_compute_is_refused(changes: list[str], accepted: str) -> None:
    key = "hardware.batch_norm_kernels"
    with pytest.raises(ConfigError, match=f"^{key}: .*; accepted: {accepted}"):
        make_config("model.kind=residual", *changes)


@pytest.mark.parametrize("kernels", ["fused", "fused_early"])
def test_without_cuda_triton_kernels_are_one_line(
    kernels: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("hardware.device=cpu", f"hardware.batch_norm_kernels={kernels}")
    assert call(*RUN, *asked, f"output_root={tmp_path}") == 2
    line = f"error: hardware.batch_norm_kernels: {kernels!r}; accepted: library, native; {kernels} "
    assert capfd.readouterr().err.startswith(line)


def test_they_are_no_part_of_a_runs_identity() -> None:
    one, other = make_config(), make_config(NATIVE)
    assert config.config_hash(one) == config.config_hash(other)
