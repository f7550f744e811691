"""Measurements on a net while it trains or afterwards: one module a probe.

A probe takes a model, images and their labels, leaves the model as it was, and returns entries
`probe/<name>/...` for the record.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from degradation.probes import first_layer, gradients, identity, lesion, responses, shattering
from degradation.records import Row

Measure = Callable[[Any, Tensor, Tensor], Row]
"""The net of a class that `config.PROBES` allows."""

MEASURES: dict[str, Measure] = {
    "gradients": gradients.measure,
    "responses": responses.measure,
    "shattering": shattering.measure,
    "identity": identity.measure,
    "lesion": lesion.measure,
    "first_layer": first_layer.measure,
}
IMAGES = {
    "gradients": gradients.IMAGES,
    "responses": responses.IMAGES,
    "shattering": shattering.IMAGES,
    "identity": identity.IMAGES,
    "lesion": lesion.IMAGES,
    "first_layer": first_layer.IMAGES,
}
"""How many images, always the first of their set, each of them looks at."""
HELD_OUT = ("lesion",)
"""Those that look at the test set, or at what `data.split: val` holds out; the others look at
training images.
"""
