"""Lesions and distances from the identity against whole nets that were taken apart by hand."""

import copy
import dataclasses
import math
import statistics
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.helpers import make_config, noise_data, tiny_config
from torch import Tensor, nn

from degradation import begin
from degradation.data.batches import Split, clean
from degradation.nets.resnet import Block, ResNet
from degradation.probes import identity, lesion
from degradation.records import Row

NETS = (
    ("model.kind=residual",),
    ("model.kind=plain",),
    ("model.kind=residual", "model.shortcut=B"),
    ("model.kind=residual", "model.shortcut=C", "model.activation=prelu"),
    ("model.kind=residual", "model.order=pre"),
    ("model.kind=residual", "model.order=pre", "model.batch_norm=false"),
    ("model.kind=plain", "model.order=pre", "model.batch_norm=false"),
)
SIZES = {12: (1, 2, 4), 22: (1, 2, 3, 4, 6, 7, 9, 10)}
"""Blocks that keep the size at depth 12 (2-2-1 blocks) and 22 (4-3-3)."""


def net(*overrides: str, depth: int = 12) -> ResNet:
    torch.manual_seed(3)
    model = ResNet(make_config(f"model.depth={depth}", "model.width=4", *overrides).model)
    with torch.no_grad():
        for _ in range(10):  # batch norm's statistics, so that eval mode is alive
            model(batch()[0])
        # centred, so that images have different answers without batch norm too
        model.linear.bias.sub_(model.eval()(batch()[0]).mean(0))
    return model.train()


def batch(count: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, 16, 16, generator=generator)
    return images, torch.randint(0, 10, (count,), generator=generator)


class Deleted(nn.Module):
    """What is to stand in a deleted block's place, made from the block's own description."""

    def __init__(self, block: Block):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        block = self.block
        if block.shortcut is not None:
            y: Tensor = block.shortcut(x)
            return y if block.pre else block.act2(y)
        if block.conv1.stride == (1, 1):
            return x
        half = x[:, :, ::2, ::2]
        return torch.cat([half, torch.zeros_like(half)], 1)


def predictions(model: ResNet, edit: Callable[[list[nn.Module]], None]) -> Tensor:
    """Of the whole net after `edit` of its list of blocks."""
    twin = copy.deepcopy(model).eval()
    layers = list(twin.blocks)
    edit(layers)
    twin.blocks = nn.Sequential(*layers)
    with torch.no_grad():
        return twin(batch()[0]).argmax(1)  # type: ignore[no-any-return]


def measured(model: ResNet, labels: Tensor) -> Row:
    return lesion.measure(model, batch()[0], labels)


def delete(*numbers: int) -> Callable[[list[nn.Module]], None]:
    def edit(layers: list[nn.Module]) -> None:
        for number in numbers:
            block = layers[number - 1]
            assert isinstance(block, Block)
            layers[number - 1] = Deleted(block)

    return edit


def swap(number: int) -> Callable[[list[nn.Module]], None]:
    def edit(layers: list[nn.Module]) -> None:
        layers[number - 1 : number + 1] = layers[number], layers[number - 1]

    return edit


@pytest.mark.parametrize("overrides", NETS)
def test_a_lesion_is_a_whole_pass_through_the_altered_net(
    overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesion, "PART", 16)  # 40 images: a last part of another length
    model = net(*overrides)
    edits = {"intact": delete(), "swap/1": swap(1)}
    edits |= {f"delete/{i}": delete(i) for i in range(1, 6)}
    answers = {name: predictions(model, edit) for name, edit in edits.items()}
    for name, labels in answers.items():  # the net itself then makes no error at all
        row = measured(model, labels)
        assert row[f"probe/lesion/{name}"] == 0
        for other, theirs in answers.items():
            wrong = (theirs != labels).float().mean().item()
            assert row[f"probe/lesion/{other}"] == pytest.approx(100 * wrong, abs=1e-3)
    names = {key.removeprefix("probe/lesion/") for key in measured(model, batch()[1])}
    single = {name for name in names if name.split("/")[0] in ("intact", "delete", "swap")}
    assert single == set(edits)


def test_a_lesion_leaves_the_inputs_of_the_others_as_they_were() -> None:
    model = net("model.order=pre", "model.batch_norm=false", depth=20).eval()
    layers = list(model.blocks)  # an in-place activation at their end
    routes: dict[str, lesion.Route] = {
        "cut": lesion.without(layers, {7, 8}),
        "whole": (7, layers[7:]),
    }
    labels = predictions(model, delete())
    with torch.no_grad():
        assert lesion._errors(model, routes, batch()[0], labels)["whole"] == 0


def test_lesions_change_the_answers() -> None:
    model = net()
    labels = predictions(model, delete())
    row = measured(model, labels)
    assert row["probe/lesion/intact"] == 0
    assert min(row[f"probe/lesion/delete/{i}"] for i in range(1, 6)) > 0


def test_summaries_are_of_blocks_that_keep_the_size() -> None:
    row = measured(net(depth=22), batch()[1])
    intact = row["probe/lesion/intact"]
    deleted = [row[f"probe/lesion/delete/{i}"] for i in SIZES[22]]
    swapped = [row[f"probe/lesion/swap/{i}"] for i in (1, 2, 3, 6, 9)]
    assert sum("/swap/" in key for key in row) == len(swapped)
    for name, errors in (("delete", deleted), ("swap", swapped)):
        mean, median = statistics.mean(errors), statistics.median(errors)
        assert row[f"probe/lesion/{name}_error_mean"] == pytest.approx(mean)
        assert row[f"probe/lesion/{name}_rise_mean"] == pytest.approx(mean - intact)
        assert row[f"probe/lesion/{name}_rise_median"] == pytest.approx(median - intact)


def test_several_deleted_blocks_are_drawn_alike_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(depth=22)
    row = measured(model, batch()[1])
    drawn = {key.rpartition("/")[2] for key in row if "random" in key}
    assert drawn == {"2", "5"}  # of eight
    assert measured(model, batch()[1]) == row
    monkeypatch.setattr(lesion, "COUNTS", (8,))
    labels = predictions(model, delete(*SIZES[22]))
    assert measured(model, labels)["probe/lesion/random/8"] == 0
    monkeypatch.setattr(lesion, "COUNTS", (2,))
    monkeypatch.setattr(lesion, "DRAWS", 20)  # each of three blocks is drawn among twenty draws
    routes = lesion._routes(net(depth=12))
    starts = {first for name, (first, _) in routes.items() if name.startswith("random/2")}
    assert starts == {0, 1}


def test_a_block_whose_branch_is_zero_is_not_missed() -> None:
    for overrides in ((), ("model.activation=prelu",), ("model.order=pre",)):
        model = net("model.kind=residual", *overrides)
        block = model.blocks[1]
        assert isinstance(block, Block)
        with torch.no_grad():
            last = block.conv2 if block.pre else block.norm2
            for parameter in last.parameters():
                parameter.zero_()
        labels = predictions(model, delete())
        row = measured(model, labels)
        assert row["probe/lesion/intact"] == row["probe/lesion/delete/2"] == 0
        assert identity.measure(model, *batch())["probe/identity/block/2"] == 0


def test_a_plain_block_that_is_the_identity_is_not_missed() -> None:
    model = net("model.kind=plain", "model.batch_norm=false")
    block = model.blocks[1]
    assert isinstance(block, Block)
    nn.init.dirac_(block.conv1.weight)  # its input comes from a ReLU
    nn.init.dirac_(block.conv2.weight)
    row = measured(model, predictions(model, delete()))
    assert row["probe/lesion/delete/2"] == 0
    assert identity.measure(model, *batch())["probe/identity/block/2"] == 0


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_distances_from_the_identity_are_ratios_of_norms(kind: str) -> None:
    option = "B" if kind == "residual" else "A"
    model = net(f"model.kind={kind}", f"model.shortcut={option}").eval()
    images, labels = batch()
    row = identity.measure(model, images, labels)
    assert len(row) == len(SIZES[12]) + 1
    x = model.stem(images)
    ratios = {}
    for number, block in enumerate(model.blocks, 1):
        assert isinstance(block, Block)
        if number in SIZES[12]:
            y = block.norm2(block.conv2(F.relu(block.norm1(block.conv1(x)))))
            change = y if kind == "residual" else F.relu(y) - x
            above, below = (t.square().sum((1, 2, 3)).sqrt().mean().item() for t in (change, x))
            ratios[number] = above / below
            found = row[f"probe/identity/block/{number}"]
            assert found == pytest.approx(ratios[number], rel=1e-5)
        x = block(x)
    assert row["probe/identity/mean"] == pytest.approx(statistics.mean(ratios.values()))


def test_in_preactivation_order_the_branch_is_the_difference() -> None:
    model = net("model.order=pre").eval()
    x = model.stem(batch()[0])
    first = model.blocks[0]
    ratio = (first(x) - x).flatten(1).norm(dim=1).mean() / x.flatten(1).norm(dim=1).mean()
    row = identity.measure(model, *batch())
    assert row["probe/identity/block/1"] == pytest.approx(ratio.item(), rel=1e-5)


def test_a_net_whose_activations_are_lost_has_no_distances() -> None:
    model = net("model.batch_norm=false")
    with torch.no_grad():
        model.stem[0].weight.zero_()  # type: ignore[operator]
    row = identity.measure(model, *batch())
    assert all(math.isfinite(value) for value in row.values())
    assert "probe/identity/block/1" not in row


def test_lesions_are_judged_on_held_out_images_and_distances_on_training_images() -> None:
    cfg = tiny_config("trainer.probes=[lesion,identity]")
    torch.manual_seed(0)
    model = ResNet(cfg.model)
    data = noise_data(cfg)

    with torch.no_grad():
        answers = model.eval()(clean(data, data.test.images)).argmax(1)
    known = dataclasses.replace(data, test=Split(data.test.images, answers))
    lesions, distances = begin.build_probes(cfg, known)
    assert lesions(model)["probe/lesion/intact"] == 0
    assert distances(model) == identity.measure(
        model, clean(data, data.train.images[:250]), answers
    )
