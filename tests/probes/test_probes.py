"""Probes against the same numbers computed by hand, and that they leave no trace."""

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.helpers import TINY, call, lines_of, make_config, only_run, read_json, weights
from torch import Tensor, nn

from degradation import config, probes
from degradation.config import ConfigError
from degradation.nets.resnet import Block, ResNet
from degradation.probes import gradients, responses

RUN = ("data=shapes", "tracking=off", *TINY)


def net(*overrides: str) -> ResNet:
    torch.manual_seed(0)
    model = ResNet(make_config("model.depth=12", "model.width=4", *overrides).model)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return model


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(16, 3, 16, 16, generator=generator)
    return images, torch.randint(0, 10, (16,), generator=generator)


def blocks(model: ResNet) -> Iterator[Block]:
    return (block for block in model.blocks if isinstance(block, Block))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_config_knows_the_probes() -> None:
    assert probes.MEASURES.keys() == config.PROBES.keys()
    assert probes.IMAGES.keys() == probes.MEASURES.keys()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", config.probes_of("resnet"))
def test_a_probe_leaves_the_model_as_it_was(name: str, training: bool) -> None:
    model = net().train(training)
    before = state(model)
    probes.MEASURES[name](model, *batch())
    assert model.training == training
    assert all(torch.equal(tensor, before[key]) for key, tensor in state(model).items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", ["plain", "residual"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_gradients_are_those_of_a_backward_pass(kind: str, batch_norm: bool) -> None:
    model = net(f"model.kind={kind}", f"model.batch_norm={batch_norm}", "model.shortcut=B")
    row = gradients.measure(model, *batch())
    twin, (images, labels) = copy.deepcopy(model).train(), batch()
    x, outputs = twin.stem(images), []
    for block in twin.blocks:
        x = block(x)
        x.retain_grad()
        outputs.append(x)
    F.cross_entropy(twin.linear(x.mean((2, 3))), labels).backward()  # type: ignore[no-untyped-call]
    convs = [layer for layer in twin.modules() if isinstance(layer, nn.Conv2d)]
    convs = [conv for conv in convs if conv.kernel_size == (3, 3)]
    assert len(convs) == 11
    for name, tensors in (("weight", [c.weight for c in convs]), ("output", outputs)):
        norms = [float(t.grad.square().sum().sqrt()) for t in tensors]  # type: ignore[union-attr]
        found = [row[f"probe/gradients/{name}/{i}"] for i in range(1, len(tensors) + 1)]
        assert found == pytest.approx(norms, rel=1e-4)
        ratio = math.log10(norms[0] / norms[-1])
        assert row[f"probe/gradients/first_to_last_{name}"] == pytest.approx(ratio, abs=1e-4)
    assert len(row) == 11 + 5 + 2


def test_a_gradient_that_is_zero_or_lost_is_left_out() -> None:
    model = net("model.batch_norm=false", "model.kind=plain")
    with torch.no_grad():
        next(iter(blocks(model))).conv1.weight.zero_()
    row = gradients.measure(model, *batch())
    assert all(math.isfinite(value) for value in row.values())
    assert "probe/gradients/first_to_last_weight" not in row
    assert "probe/gradients/weight/1" not in row


def test_a_gradient_far_below_one_keeps_its_norm() -> None:
    grad = torch.tensor([3e-30, 4e-30])
    assert float(gradients._norm(grad)) == pytest.approx(5e-30)


def test_responses_are_batch_norms_outputs() -> None:
    model = net()
    images, labels = batch()
    row = responses.measure(model, images, labels)
    conv, norm = model.stem[0], model.stem[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    x = (conv(images) - norm.running_mean[:, None, None]) * scale[:, None, None]
    x = x + norm.bias[:, None, None]
    assert row["probe/responses/layer/1"] == pytest.approx(x.std().item(), rel=1e-4)
    layers = [row[f"probe/responses/layer/{i}"] for i in range(1, 12)]
    assert row["probe/responses/mean"] == pytest.approx(sum(layers) / 11)
    assert row["probe/responses/log10_mean"] == pytest.approx(math.log10(sum(layers) / 11))
    assert len(row) == 14
    x, first = F.relu(x), next(iter(blocks(model.eval())))
    y = first.norm2(first.conv2(F.relu(first.norm1(first.conv1(x)))))
    assert layers[2] == pytest.approx(y.std().item(), rel=1e-4)  # before the addition


def test_responses_in_training_are_those_of_train_mode() -> None:
    model = net()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    outputs: list[Tensor] = []
    for norm in norms:
        nn.init.normal_(norm.weight, 1, 0.5)
        nn.init.normal_(norm.bias)
        norm.register_forward_hook(lambda _norm, _in, output: outputs.append(output.clone()))
    row = responses.measure(copy.deepcopy(model), *batch())
    outputs.clear()
    model.train()(batch()[0])
    mean = sum(output.std(unbiased=False).item() for output in outputs) / len(norms)
    assert row["probe/responses/log10_mean_in_training"] == pytest.approx(math.log10(mean), abs=1e-3)
    bare = responses.measure(net("model.batch_norm=false"), *batch())
    assert "probe/responses/log10_mean_in_training" not in bare


def test_responses_need_batch_norm_behind_the_conv() -> None:
    with pytest.raises(ConfigError, match=r"model.order: 'pre'; accepted: post"):
        responses.measure(net("model.order=pre"), *batch())


def test_a_run_records_its_probes_and_is_the_same_run(tmp_path: Path) -> None:
    asked = ("trainer.probes=[gradients,responses]", "trainer.probe_every=10")
    for root, extra in (("with", asked), ("without", ())):
        assert call(*RUN, *extra, f"output_root={tmp_path / root}") == 0
    with_probes, without = (only_run(tmp_path / root) for root in ("with", "without"))
    assert with_probes.name == without.name
    rows = {row["iteration"]: row for row in lines_of(with_probes)}
    probed = [i for i, row in rows.items() if any(key.startswith("probe/") for key in row)]
    assert probed == [0, 10, 20]
    assert list(rows) == [0, 5, 10, 15, 20]
    kept = [{k: v for k, v in row.items() if "probe" not in k} for row in rows.values()]
    assert kept[1:] == lines_of(without)
    assert all(torch.equal(a, weights(without)[key]) for key, a in weights(with_probes).items())
    last = read_json(with_probes / "summary.json")["last"]
    assert last["probe/responses/mean"] == rows[20]["probe/responses/mean"]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("trainer.probes=[gradient]", "trainer.probes: 'gradient'; accepted: gradients, responses"),
        ("trainer.probe_every=3", "trainer.probe_every: 3; accepted: 0 or a multiple of"),
    ],
)
def test_wrong_probes_are_one_line(
    override: str, line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = (*RUN, "trainer.probes=[gradients]", override, f"output_root={tmp_path}")
    assert call(*arguments) == 2
    assert capfd.readouterr().err.startswith(f"error: {line}")
