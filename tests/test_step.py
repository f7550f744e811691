"""One step and one evaluation against what one would write without thinking."""

import copy

import pytest
import torch
import torch.nn.functional as F
from tests.helpers import fresh_state, noise_data, tiny_config
from torch import Tensor, nn

from degradation.data.batches import Data, prepare, train_batches
from degradation.data.images import load_images
from degradation.nets import build_model
from degradation.step import EagerStep, evaluate, loss_of

CFG = tiny_config()
LRS = (0.1, 0.1, 0.02)


@pytest.fixture(scope="module")
def data() -> Data:
    return noise_data(CFG)


def batch(data: Data, iteration: int) -> tuple[Tensor, Tensor]:
    return next(train_batches(data, CFG.seed, iteration, iteration + 1, CFG.trainer.batch_size))


def naive_steps(model: nn.Module, data: Data) -> tuple[list[float], list[float]]:
    """Losses and errors in percent of a few steps of the usual script."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    losses, errors = [], []
    for iteration, lr in enumerate(LRS):
        optimizer.param_groups[0]["lr"] = lr
        images, labels = batch(data, iteration)
        logits = model(images.contiguous())
        loss = nn.CrossEntropyLoss()(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        wrong = sum(
            int(row.argmax()) != int(label) for row, label in zip(logits, labels, strict=True)
        )
        errors.append(100 * wrong / len(labels))
    return losses, errors


def test_equals_the_usual_script(data: Data) -> None:
    state = fresh_state(CFG)
    theirs = build_model(CFG.model)
    theirs.load_state_dict(state.model.state_dict())
    step = EagerStep(state.model, state.optimizer, "fp32")
    for iteration, lr in enumerate(LRS):
        step(*batch(data, iteration), lr)
    losses, errors = naive_steps(theirs, data)
    loss, error_pct = step.read()
    assert loss == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert error_pct == pytest.approx(sum(errors) / 3)
    for ours, expected in zip(state.model.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-5)


def test_cleared_totals_start_the_count_anew(data: Data) -> None:
    state = fresh_state(CFG)
    step = EagerStep(state.model, state.optimizer, "fp32")
    step(*batch(data, 0), 0.1)
    step.totals.clear()
    images, labels = batch(data, 1)
    with torch.no_grad():
        logits = copy.deepcopy(state.model)(images)
    step(images, labels, 0.1)
    loss, error_pct = step.read()
    assert loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert error_pct == pytest.approx(100 * (logits.argmax(1) != labels).double().mean().item())


def buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("batch_size", [256, 100, 7])
def test_evaluation_is_of_clean_images_one_by_one(data: Data, batch_size: int) -> None:
    state = fresh_state(CFG)
    step = EagerStep(state.model, state.optimizer, "fp32")
    for iteration in range(3):  # moves the batch norm's statistics off their initial values
        step(*batch(data, iteration), 0.1)
    before = buffers(state.model)
    loss, error_pct = evaluate(state.model, data.train, data, batch_size, "fp32")
    assert state.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in buffers(state.model).items())
    model = copy.deepcopy(state.model).eval()
    losses, wrong = [], 0
    for pixels, label in zip(data.train.images, data.train.labels, strict=True):
        image = (pixels[:-1] / 255 - data.mean[:-1]).T.reshape(1, 3, 8, 8)
        logits = model(image)
        losses.append(F.cross_entropy(logits, label[None]).item())
        wrong += int(logits.argmax() != label)
    assert loss == pytest.approx(sum(losses) / 256, rel=1e-5)
    assert error_pct == pytest.approx(100 * wrong / 256)


def test_bf16_keeps_weights_in_fp32_and_is_close(data: Data) -> None:
    exact, rounded = fresh_state(CFG), fresh_state(CFG)
    results = []
    for state, precision in ((exact, "fp32"), (rounded, "bf16")):
        step = EagerStep(state.model, state.optimizer, precision)
        step(*batch(data, 0), 0.1)
        results.append(step.read()[0])
        results.append(evaluate(state.model, data.test, data, 64, precision)[0])
        assert all(parameter.dtype == torch.float32 for parameter in state.model.parameters())
    assert results[0] != results[2]  # it did compute in another precision
    assert results[2:] == pytest.approx(results[:2], rel=0.05)


def test_an_evaluation_in_bf16_computes_in_it(data: Data) -> None:
    model = fresh_state(CFG).model
    exact, rounded = (evaluate(model, data.test, data, 64, p)[0] for p in ("fp32", "bf16"))
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.01)


def test_the_loss_of_bf16_logits_is_computed_in_fp32() -> None:
    logits = torch.randn(48, 10, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(48) % 10
    loss = loss_of(build_model(CFG.model), logits, torch.zeros(48, 3, 8, 8), labels)
    assert loss.dtype == torch.float32
    expected = -logits.double().log_softmax(1)[torch.arange(48), labels].mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_evaluation_of_a_copy_does_not_depend_on_its_parts() -> None:
    """2,000 vectors are no multiple of 256, so the last part has fewer."""
    stack = ("model.net=stack", "model.depth=2", "data.name=uniform", "data.pixels=4")
    cfg = tiny_config(*stack, "data.scaling=zero_to_one", "data.train_images=0")
    vectors = prepare(load_images("uniform", None), cfg.data, torch.device("cpu"))
    model = fresh_state(cfg).model
    by_256, by_100 = (evaluate(model, vectors.train, vectors, n, "fp32")[0] for n in (256, 100))
    assert len(vectors.train) == 2_000
    assert by_256 == pytest.approx(by_100, rel=1e-5)
