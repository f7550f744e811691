"""The learning rate on both sides of every boundary, and SGD against the update written out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import make_config
from torch import nn

from degradation.config import OptimConfig, ScheduleConfig
from degradation.optim import build_optimizer, learning_rate


def rate(depth: int, iteration: int) -> float:
    cfg = make_config(preset="paper")
    return learning_rate(iteration, cfg.optim.lr, depth, cfg.schedule)


@pytest.mark.parametrize("depth", [110, 112, 1202])
@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0.01),
        (1, 0.01),
        (399, 0.01),
        (400, 0.1),
        (31_999, 0.1),
        (32_000, 0.01),
        (47_999, 0.01),
        (48_000, 0.001),
        (63_999, 0.001),
    ],
)
def test_paper_with_warm_up(depth: int, iteration: int, expected: float) -> None:
    assert rate(depth, iteration) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("depth", [18, 56, 108])
@pytest.mark.parametrize(
    ("iteration", "expected"),
    [(0, 0.1), (399, 0.1), (400, 0.1), (31_999, 0.1), (32_000, 0.01), (48_000, 0.001)],
)
def test_paper_without_warm_up(depth: int, iteration: int, expected: float) -> None:
    assert rate(depth, iteration) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("depth", [18, 110])
def test_quick_warms_every_depth_up_linearly(depth: int) -> None:
    schedule = make_config(preset="quick").schedule
    (milestone,) = schedule.milestones
    assert milestone == pytest.approx(0.7 * schedule.iterations)
    schedule.warmup_iterations = 100  # how many there are is tuned to a laptop
    trace = [
        learning_rate(iteration, 0.1, depth, schedule) for iteration in range(schedule.iterations)
    ]
    assert trace[0] == pytest.approx(0.001)
    assert trace[49] == pytest.approx(0.05)
    assert trace[99] == trace[100] == trace[milestone - 1] == 0.1
    assert trace[milestone] == trace[-1] == pytest.approx(0.01)


def schedule(milestones: list[int], **changes: object) -> ScheduleConfig:
    settings = {"gamma": 0.1, "warmup": "none", "warmup_iterations": 0, "warmup_lr": 0.01}
    settings |= {"iterations": 60, "warmup_min_depth": 0}
    return ScheduleConfig(milestones=milestones, **(settings | changes))  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 59), unique=True, max_size=4).map(sorted), st.floats(0.05, 0.9))
def test_equals_multi_step_lr(milestones: list[int], gamma: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma)
    for iteration in range(60):
        ours = learning_rate(iteration, 0.3, 18, schedule(milestones, gamma=gamma))
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        theirs.step()


def test_no_warm_up_although_its_length_is_set() -> None:
    assert learning_rate(0, 0.3, 110, schedule([], warmup="none", warmup_iterations=9)) == 0.3


def test_a_milestone_within_a_linear_warm_up_lowers_what_is_left_of_it() -> None:
    trace = schedule([5], warmup="linear", warmup_iterations=10)
    rates = [learning_rate(iteration, 1.0, 18, trace) for iteration in (4, 5, 9, 10)]
    assert rates == pytest.approx([0.5, 0.06, 0.1, 0.1])


def test_sgd_decays_every_parameter_batch_norm_included() -> None:
    """v <- 0.9 v + (gradient + decay * weight); weight <- weight - lr * v, three steps long."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 10))
    cfg = OptimConfig(lr=0.5, momentum=0.9, weight_decay=0.01)
    optimizer = build_optimizer(model, cfg)
    weights = [parameter.detach().double() for parameter in model.parameters()]
    velocities = [torch.zeros_like(weight) for weight in weights]
    for lr in (0.5, 0.2, 0.1):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        model(torch.randn(5, 3, 4, 4)).square().mean().backward()
        for index, parameter in enumerate(model.parameters()):
            assert parameter.grad is not None
            gradient = parameter.grad.double() + 0.01 * weights[index]
            velocities[index] = 0.9 * velocities[index] + gradient
            weights[index] = weights[index] - lr * velocities[index]
        optimizer.step()
    assert len(weights) == 6
    for parameter, expected in zip(model.parameters(), weights, strict=True):
        torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-5, atol=1e-6)


def test_adam_is_kingma_and_bas_and_decays_every_parameter() -> None:
    """Their Algorithm 1, the decay added to the gradient, three steps long."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    cfg = OptimConfig(name="adam", lr=0.01, momentum=0.8, weight_decay=0.1)
    optimizer = build_optimizer(model, cfg)
    weights = [parameter.detach().double() for parameter in model.parameters()]
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for step in (1, 2, 3):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().mean().backward()
        for index, parameter in enumerate(model.parameters()):
            assert parameter.grad is not None
            gradient = parameter.grad.double() + 0.1 * weights[index]
            means[index] = 0.8 * means[index] + 0.2 * gradient
            squares[index] = 0.999 * squares[index] + 0.001 * gradient**2
            mean, square = means[index] / (1 - 0.8**step), squares[index] / (1 - 0.999**step)
            weights[index] = weights[index] - 0.01 * mean / (square.sqrt() + 1e-8)
        optimizer.step()
    for parameter, expected in zip(model.parameters(), weights, strict=True):
        torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-5, atol=1e-6)
