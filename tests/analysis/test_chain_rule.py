"""The toy's products against the derivative that autograd takes through the chain itself."""

import math

import pytest
import torch
from torch import Tensor

from degradation.analysis.chain_rule_figures import CASES, DEPTH, factors, log10_gradients


@pytest.mark.parametrize("case", [case for case in CASES if "chance" not in case])
@pytest.mark.parametrize("residual", [False, True])
def test_the_gradient_through_a_chain_is_the_product(case: str, residual: bool) -> None:
    x = torch.ones((), dtype=torch.float64, requires_grad=True)
    y: Tensor = x
    for a in factors(case)[0].tolist():
        y = y + a * y if residual else a * y
    (gradient,) = torch.autograd.grad(y, x)
    found = log10_gradients(factors(case))["residual" if residual else "plain"]
    assert found[-1] == pytest.approx(math.log10(abs(gradient.item())), rel=1e-9)


def test_by_chance_half_of_the_signs_are_negative() -> None:
    case = next(case for case in CASES if "chance" in case)
    expected = DEPTH / 2 * (math.log10(1.3) + math.log10(0.7))
    assert log10_gradients(factors(case))["residual"][-1] == pytest.approx(expected, abs=0.3)
    assert log10_gradients(factors(case))["plain"][-1] == pytest.approx(DEPTH * math.log10(0.3))
