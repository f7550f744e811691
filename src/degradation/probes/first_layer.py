"""The gradient of the autoencoder's first layer on one batch, as it is tabulated in tutorials: `l2`
norm, `min`, `max` and `mean` over its weights.
"""

import torch
from torch import Tensor

from degradation.nets.autoencoder import Autoencoder
from degradation.records import Row

IMAGES = 64
"""The first batch of the tutorials."""


def measure(model: Autoencoder, images: Tensor, labels: Tensor) -> Row:
    """images: (B, 1, P, P) float32; labels are not used."""
    loss = model.loss(model(images), images)
    (grad,) = torch.autograd.grad(loss, [model.conv1.weight])
    found = {"l2": grad.norm(), "min": grad.min(), "max": grad.max(), "mean": grad.mean()}
    return {f"probe/first_layer/{key}": value.item() for key, value in found.items()}
