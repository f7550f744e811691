"""What else a captured step and an evaluation could be made of, each beside what they are. What
pays on a GPU may become the project's choice.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degradation import environment
from degradation.benchmark.contestants import (
    Change,
    Contestants,
    begin,
    begun,
    by_kernels,
    compiled,
    own_turns,
)
from degradation.benchmark.results import Part, ratios, spread
from degradation.benchmark.throughput import BATCH_SIZE, in_turn, paper
from degradation.config import Config
from degradation.data.batches import Data, Split, clean, prepare
from degradation.data.images import load_images
from degradation.nets.casts import CastTogether
from degradation.step import evaluate

DEPTHS = (20, 110)
EVERY, ROUNDS = 50, 3
EVALUATED = (250, 1000, 2500, 10_000)
"""Images a forward pass; `trainer.eval_batch_size` is PRESENT."""
PRESENT = 1000


def measure(root: str | None, device: torch.device) -> Iterator[Part]:
    """Milliseconds a step of each variant, and how many times as fast as the present step it is;
    the same for evaluations. What is known after each depth and precision. Raises DataError.
    """
    part = Part()
    data = prepare(load_images("cifar10", root), paper(20, "bf16").data, device)
    for depth in DEPTHS:
        for precision in ("bf16", "tf32"):
            cfg, prefix = paper(depth, precision, EVERY), f"resnet{depth}/{precision}"
            runs, _ = begin(variants(cfg, data))
            *_, rates = in_turn(runs, 1, ROUNDS, EVERY * BATCH_SIZE, untimed_rounds=0)
            found = steps(rates) | evaluations(cfg, data)
            part |= {f"{prefix}/{name}": number for name, number in found.items()}
            yield part


def variants(cfg: Config, data: Data) -> Contestants:
    """`present` is the step as it is; with fixed algorithms, as the project trains, in all."""
    changes: dict[str, Change | None] = {
        "present": None,
        "contiguous": contiguous,
        "stem_of_4_channels": partial(padded_stem, channels=4),
        "stem_of_8_channels": partial(padded_stem, channels=8),
        "uncounted_batches": partial(with_batch_norm, normalise=uncounted),
    }
    kernels = ["fused", "fused_early"]
    if cfg.trainer.precision == "bf16":
        changes["cudnn_batch_norm"] = partial(with_batch_norm, normalise=cudnn_batch_norm)
        changes["weights_cast_together"] = cast_together
        changes["compiled"] = partial(compiled, mode="default")  # once a depth: it takes minutes
    else:
        kernels.append("native")
    found: Contestants = {
        name: partial(own_turns, cfg, data, change) for name, change in changes.items()
    }
    return found | {name: partial(own_turns, by_kernels(cfg, name), data) for name in kernels}


def contiguous(model: nn.Module, data: Data) -> tuple[nn.Module, Data]:
    """Channels before pixels, in weights, images and so in all activations."""
    model = model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model.register_forward_pre_hook(lambda _model, inputs: (inputs[0].contiguous(),))
    return model, data


def padded_stem(model: nn.Module, data: Data, channels: int) -> tuple[nn.Module, Data]:
    """Images with further channels, which are 0, so that the first conv has the width that matrix
    units like; the same function.
    """
    first = cast(nn.Sequential, model.stem)
    stem = cast(nn.Conv2d, first[0])
    wider = nn.Conv2d(channels, stem.out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        wider.weight.zero_()
        wider.weight[:, : stem.in_channels] = stem.weight.cpu()
    first[0] = wider.to(stem.weight.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    more = (0, channels - stem.in_channels)
    train, test = (Split(F.pad(x.images, more), x.labels) for x in (data.train, data.test))
    return model, replace(data, train=train, test=test, mean=F.pad(data.mean, more))


def with_batch_norm(
    model: nn.Module, data: Data, normalise: Callable[[nn.BatchNorm2d, Tensor], Tensor]
) -> tuple[nn.Module, Data]:
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.forward = partial(normalise, layer)  # type: ignore[method-assign]
    return model, data


def cudnn_batch_norm(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """In the place of PyTorch's own; it takes bf16 only with statistics in bf16, so it is given
    fp32.
    """
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked.add_(1)
    return uncounted(layer, x.float()).to(x.dtype)


def uncounted(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Without the count of batches, a kernel a layer, which only a momentum of None needs."""
    mean, variance, momentum = layer.running_mean, layer.running_var, layer.momentum
    assert momentum is not None
    return F.batch_norm(x, mean, variance, layer.weight, layer.bias, True, momentum, layer.eps)


def cast_together(model: nn.Module, data: Data) -> tuple[nn.Module, Data]:
    """The convs' weights, before each pass."""
    convs = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    cast_weights: dict[nn.Conv2d, Tensor] = {}

    def cast_all(_model: nn.Module, _inputs: Any) -> None:
        weights = CastTogether.apply(*(layer.weight for layer in convs))  # type: ignore[no-untyped-call]
        cast_weights.update(zip(convs, weights, strict=True))

    def forward(layer: nn.Conv2d, x: Tensor) -> Tensor:
        return F.conv2d(x, cast_weights[layer], None, layer.stride, layer.padding)

    model.register_forward_pre_hook(cast_all)
    for layer in convs:
        layer.forward = partial(forward, layer)  # type: ignore[method-assign]
    return model, data


def steps(images_per_s: Mapping[str, list[float]]) -> Part:
    a_step = {
        name: spread([1000 * BATCH_SIZE / rate for rate in rates], "ms")
        for name, rates in images_per_s.items()
    }
    return a_step | ratios_to("present", images_per_s)


def evaluations(cfg: Config, data: Data) -> Part:
    """Test images a second, by images a forward pass, and with that pass captured as a graph."""
    looks: Contestants = {
        f"evaluate_by_{size}": partial(evaluation_turns, cfg, data, size) for size in EVALUATED
    }
    looks["evaluate_captured"] = partial(evaluation_turns, cfg, data, PRESENT, captured=True)
    runs, _ = begin(looks)
    *_, images_per_s = in_turn(runs, 1, ROUNDS, len(data.test), untimed_rounds=0)
    found = {name: spread(rates, "images/s") for name, rates in images_per_s.items()}
    return found | ratios_to(f"evaluate_by_{PRESENT}", images_per_s)


def ratios_to(present: str, rates: Mapping[str, list[float]]) -> Part:
    """More than 1 where something is faster than what is there at present."""
    return {
        f"{name}_over_{present}": spread(ratios(found, rates[present]), "x")
        for name, found in rates.items()
        if present in rates and name != present
    }


def evaluation_turns(cfg: Config, data: Data, size: int, captured: bool = False) -> Iterator[None]:
    """Looks at the whole test set."""
    state, precision = begun(cfg, data)[0], cfg.trainer.precision
    if captured:
        images = clean(data, data.test.images[:size])
        enabled = precision == "bf16"
        uncached = torch.autocast("cuda", torch.bfloat16, enabled=enabled, cache_enabled=False)
        with torch.no_grad(), uncached:
            torch.cuda.make_graphed_callables(state.model.eval(), (images,))
    while True:
        environment.set_arithmetic(cfg.trainer)
        evaluate(state.model, data.test, data, size, precision)
        yield
