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
from degradation.nets.autoencoder import Autoencoder
from degradation.nets.resnet import Block, ResNet
from degradation.probes import first_layer, gradients, responses, shattering

RUN = ("data=shapes", "tracking=off", *TINY)


def net(*overrides: str) -> ResNet:
    torch.manual_seed(0)
    model = ResNet(make_config("model.depth=12", "model.width=4", *overrides).model)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return model


def batch(count: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, 16, 16, generator=generator)
    return images, torch.randint(0, 10, (count,), generator=generator)


def blocks(model: ResNet) -> Iterator[Block]:
    return (block for block in model.blocks if isinstance(block, Block))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_config_knows_the_probes() -> None:
    assert probes.MEASURES.keys() == config.PROBES.keys()
    assert probes.IMAGES.keys() == probes.MEASURES.keys()


@pytest.mark.parametrize("name", config.probes_of("resnet"))
def test_a_probe_measures_as_few_images_as_the_config_lets_it(name: str) -> None:
    row = probes.MEASURES[name](net(), *batch(config.PROBE_LEAST_IMAGES.get(name, 1)))
    assert row
    assert all(key.startswith(f"probe/{name}/") for key in row)


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
    option = "B" if kind == "residual" else "A"
    model = net(f"model.kind={kind}", f"model.batch_norm={batch_norm}", f"model.shortcut={option}")
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


def test_the_first_layers_numbers_are_those_of_its_gradient() -> None:
    torch.manual_seed(0)
    model, images = Autoencoder(residual=True), torch.rand(16, 1, 28, 28) * 2 - 1
    row = first_layer.measure(model, images, torch.zeros(16))
    model.loss(model(images), images).backward()  # type: ignore[no-untyped-call]
    assert model.conv1.weight.grad is not None
    grad = sorted(model.conv1.weight.grad.flatten().tolist())
    expected = {"l2": math.hypot(*grad), "min": grad[0], "max": grad[-1], "mean": sum(grad) / 144}
    assert row == pytest.approx(
        {f"probe/first_layer/{k}": v for k, v in expected.items()}, rel=1e-4
    )


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
    assert row["probe/responses/log10_mean_in_training"] == pytest.approx(
        math.log10(mean), abs=1e-3
    )
    bare = responses.measure(net("model.batch_norm=false"), *batch())
    assert "probe/responses/log10_mean_in_training" not in bare


def test_autocorrelation_is_the_mean_cosine_at_a_lag() -> None:
    grads = torch.randn(7, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grads *= torch.tensor([1, 1e-25, 3, 1, 1e5, 1, 1])[:, None]
    found = shattering.autocorrelation(grads).tolist()
    rows = grads.tolist()
    for lag in range(1, 7):
        cosines = []
        for i in range(7 - lag):
            dot = sum(x * y for x, y in zip(rows[i], rows[i + lag], strict=True))
            cosines.append(dot / math.hypot(*rows[i]) / math.hypot(*rows[i + lag]))
        assert found[lag - 1] == pytest.approx(sum(cosines) / len(cosines))
    assert len(found) == 6


def test_white_noise_has_no_autocorrelation_and_brown_noise_falls_with_the_lag() -> None:
    noise = torch.randn(64, 20_000, generator=torch.Generator().manual_seed(0))
    assert shattering.autocorrelation(noise).abs().max() < 0.03
    brown = shattering.autocorrelation(noise.cumsum(0))
    assert brown[0] > 0.9
    assert (brown.diff() < 0).all()


@pytest.mark.parametrize("kind", ["plain", "residual"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_linear_net_is_not_shattered(kind: str, batch_norm: bool) -> None:
    model = net(f"model.kind={kind}", f"model.batch_norm={batch_norm}")
    assert isinstance(model.stem, nn.Sequential)
    model.stem[2] = nn.Identity()
    for block in blocks(model):
        block.act1 = block.act2 = nn.Identity()
    row = shattering.measure(model, *batch())
    for lag in shattering.LAGS:
        assert row[f"probe/shattering/autocorrelation/{lag}"] == pytest.approx(1, abs=1e-5)
    assert row["probe/shattering/mean"] == pytest.approx(1, abs=1e-5)
    slopes = [row[f"probe/shattering/slope/{i}"] for i in range(1, shattering.POINTS + 1)]
    assert slopes == pytest.approx([slopes[0]] * len(slopes), rel=1e-3)


def test_shattering_is_that_of_single_points_with_the_batchs_statistics() -> None:
    model = net("model.kind=plain")
    images, labels = batch()
    row = shattering.measure(model, images, labels)
    twin, means = copy.deepcopy(model).train(), []
    for norm in (layer for layer in twin.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.momentum = 1.0  # what the last batch had
    twin(images)
    twin.eval()
    for first in range(0, 2 * shattering.LINES, 2):
        grads = []
        for i in range(shattering.POINTS):
            share = i / (shattering.POINTS - 1)
            point = (1 - share) * images[first] + share * images[first + 1]
            point.requires_grad_()
            twin(point[None])[0, labels[first]].backward()
            assert point.grad is not None
            grads.append(point.grad.flatten().double())
        pairs = [
            F.cosine_similarity(x, y, dim=0).item() for i, x in enumerate(grads) for y in grads[:i]
        ]
        means.append(sum(pairs) / len(pairs))
        if not first:
            slope = (grads[0] @ (images[1] - images[0]).flatten().double()).item()
            assert row["probe/shattering/slope/1"] == pytest.approx(slope, rel=1e-3)
    assert row["probe/shattering/mean"] == pytest.approx(sum(means) / len(means), abs=1e-4)
    assert 0.01 < row["probe/shattering/mean"] < 0.9  # neither all alike nor noise


def test_the_slope_is_the_logits_derivative_along_the_line() -> None:
    model = net("model.batch_norm=false").double()
    images, labels = batch()
    slopes = shattering.measure(model, images.double(), labels)
    step = 1e-6
    shares = (0.1 * 20 / (shattering.POINTS - 1) + torch.tensor([-step, step]).double())[:, None]
    ends = torch.stack([images[0], images[1]]).double()
    points = ends[0] + shares[:, :, None, None] * (ends[1] - ends[0])
    with torch.no_grad():
        before, after = model(points)[:, labels[0]].tolist()
    found = slopes["probe/shattering/slope/21"]
    assert found == pytest.approx((after - before) / (2 * step), rel=1e-4)


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
        (
            "trainer.probes=[responses] model.order=pre",
            "trainer.probes: 'responses'; accepted: gradients, shattering, identity, lesion for "
            "model.order=pre and model.shortcut=A",
        ),
        (
            "trainer.probes=[identity] model.shortcut=C",
            "trainer.probes: 'identity'; accepted: gradients, responses, shattering, lesion for "
            "model.order=post and model.shortcut=C",
        ),
        ("trainer.probes=[lesion,lesion]", "trainer.probes: ['lesion', 'lesion']; accepted: each"),
        (
            "trainer.probes=[shattering] data.train_images=7 trainer.batch_size=7",
            "data.train_images: 7; accepted: 8 or more for shattering",
        ),
    ],
)
def test_wrong_probes_are_one_line(
    override: str, line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = (*RUN, "trainer.probes=[gradients]", f"output_root={tmp_path}")
    assert call(*arguments, *override.split()) == 2
    assert capfd.readouterr().err.startswith(f"error: {line}")
    assert not (tmp_path / "adhoc").exists()
