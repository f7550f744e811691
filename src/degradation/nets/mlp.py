"""Fully connected nets: the block of two layers with and without the addition, in a classifier and
alone.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from degradation.nets.initial import fill


def _activation(name: str) -> nn.Module:
    """`linear`: none; of `prelu` one slope a layer."""
    if name == "linear":
        return nn.Identity()
    return nn.PReLU() if name == "prelu" else nn.ReLU()


def _linear(inputs: int, outputs: int, init: str) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    fill(layer, init)
    return layer


class LinearBlock(nn.Module):
    """Linear, activation, linear, in a residual net the addition of the input, activation."""

    def __init__(self, features: int, residual: bool, activation: str, init: str):
        super().__init__()
        self.residual = residual
        self.linear1 = _linear(features, features, init)
        self.act1 = _activation(activation)
        self.linear2 = _linear(features, features, init)
        self.act2 = _activation(activation)

    def inner(self, x: Tensor) -> Tensor:
        """F(x): (B, N) -> (B, N)."""
        return self.linear2(self.act1(self.linear1(x)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:  # (B, N) -> (B, N)
        y = self.inner(x)
        return self.act2(y + x if self.residual else y)  # type: ignore[no-any-return]


class ResidualMLP(nn.Module):
    """A layer to the hidden features, blocks, a layer to the outputs; `residual=False` leaves out
    the additions and nothing else.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        out_features: int,
        num_blocks: int,
        *,
        residual: bool = True,
        activation: str = "relu",
        init: str = "fan_out",
    ):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Flatten(), _linear(in_features, hidden_features, init), _activation(activation)
        )
        self.blocks = nn.Sequential(
            *(LinearBlock(hidden_features, residual, activation, init) for _ in range(num_blocks))
        )
        self.linear = nn.Linear(hidden_features, out_features)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, in_features) or (B, C, P, P)
        x = self.stem(x)  # (B, hidden_features)
        x = self.blocks(x)  # (B, hidden_features)
        return self.linear(x)  # type: ignore[no-any-return]  # (B, out_features)


class Stack(nn.Module):
    """Blocks alone, whose output is compared with their input: can they learn h(x) = x?

    Inputs in [0, 1], so that a ReLU can be passed unchanged.
    """

    def __init__(self, features: int, num_blocks: int, residual: bool, activation: str, init: str):
        super().__init__()
        self.stem = nn.Flatten()
        self.blocks = nn.Sequential(
            *(LinearBlock(features, residual, activation, init) for _ in range(num_blocks))
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, P, P)
        return self.blocks(self.stem(x)).view(x.shape)  # type: ignore[no-any-return]

    def loss(self, output: Tensor, x: Tensor) -> Tensor:
        """Mean squared error of the copy."""
        return F.mse_loss(output, x)
