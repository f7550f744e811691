"""Measurements on a net while it trains or afterwards: one module a probe.

A probe takes a model, the training images and their labels, leaves the model as it was, and
returns entries `probe/<name>/...` for the record.
"""

from collections.abc import Callable

from torch import Tensor

from degradation.nets.resnet import ResNet
from degradation.probes import gradients, responses
from degradation.records import Row

Measure = Callable[[ResNet, Tensor, Tensor], Row]

MEASURES: dict[str, Measure] = {"gradients": gradients.measure, "responses": responses.measure}
IMAGES = {"gradients": gradients.IMAGES, "responses": responses.IMAGES}
"""How many of the training images, always the first, each of them looks at."""
