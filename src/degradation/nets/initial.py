"""Initial weights."""

from torch import nn

SMALL = 0.01
"""Standard deviation of `small`, as in Krizhevsky et al. 2012."""


def initialise(module: nn.Module, mode: str) -> None:
    """He-normal convs ([13] in the paper), or Glorot and Bengio's (2010), which lose half of a
    ReLU net's variance a layer.

    DEVIATION: the linear layer is uniform with a zero bias, as in the Torch port that the authors
    point to (fb.resnet.torch), where the paper says "[13]" for all.
    """
    if isinstance(module, nn.Conv2d):
        fill(module, mode)
    elif isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def fill(layer: nn.Conv2d | nn.Linear, mode: str) -> None:
    """Weights by the mode, zero biases; `torch`: left as the framework made them."""
    if mode == "torch":
        return
    if mode == "xavier":
        nn.init.xavier_normal_(layer.weight)
    elif mode == "small":
        nn.init.normal_(layer.weight, std=SMALL)
    else:
        nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
