"""Batch norm in training mode, the addition of a shortcut and ReLU, y = relu(bn(x) + shortcut), as
two Triton kernels forward and two backward.

x is a channels_last tensor as a matrix: a row of CHANNELS for each pixel. Each kernel is started
for tiles of HEIGHT x WIDTH of it, one each (fused_norm.Tiling). The first of two leaves each tile's
sums, (2, tiles below one another, CHANNELS); the second merges them anew for each tile, of the
tile's channels only, in place of a third kernel. Sums are in fp32 and of one order, so that the
numbers are the same every time.

EARLY: the second is launched while the first is at work (programmatic dependent launch); it loads
what is older than that, then waits for the first one's end.
"""

# mypy: allow-untyped-decorators, allow-untyped-defs, allow-incomplete-defs
# ruff: noqa: PLR0917

import triton
import triton.language as tl
from triton.language import constexpr

try:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
except ImportError:  # an older Triton, whose kernels cannot be EARLY
    gdc_launch_dependents = gdc_wait = None


@triton.jit
def columns(WIDTH: constexpr):
    """The channels (WIDTH,) of this tile."""
    return tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)


@triton.jit
def places(rows, CHANNELS: constexpr, HEIGHT: constexpr, WIDTH: constexpr):
    """Where this tile's numbers (HEIGHT, WIDTH) are, and which are there: the last tile may have
    fewer rows.
    """
    row = tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)[:, None]
    return row * CHANNELS + columns(WIDTH)[None, :], row < rows


@triton.jit
def numbers(source, at, here):
    return tl.load(source + at, here, other=0.0).to(tl.float32)


@triton.jit
def keep(sums, first, second, rows, CHANNELS: constexpr, HEIGHT: constexpr, WIDTH: constexpr):
    at = sums + tl.program_id(0) * CHANNELS + columns(WIDTH)
    tl.store(at, first)
    tl.store(at + tl.cdiv(rows, HEIGHT) * CHANNELS, second)


@triton.jit
def kept(
    sums, rows, CHANNELS: constexpr, HEIGHT: constexpr, WIDTH: constexpr, DOWN: constexpr
):  # fmt: skip
    """Both sums (DOWN, WIDTH) of all tiles below one another, 0 beyond the last, and the rows
    (DOWN, 1) each has.
    """
    tile = tl.arange(0, DOWN)[:, None]
    down = tl.cdiv(rows, HEIGHT)
    at = sums + tile * CHANNELS + columns(WIDTH)[None, :]
    first = tl.load(at, tile < down, other=0.0)
    second = tl.load(at + down * CHANNELS, tile < down, other=0.0)
    return first, second, tl.minimum(tl.maximum(rows - tile * HEIGHT, 0), HEIGHT)


@triton.jit
def batch_norm_moments(
    x, sums, rows,
    CHANNELS: constexpr, HEIGHT: constexpr, WIDTH: constexpr, DOWN: constexpr, EARLY: constexpr,
):  # fmt: skip
    """Each tile's means, and its sums of squared distances from them: those from 0 would lose what
    is small beside the mean.
    """
    if EARLY:
        gdc_launch_dependents()
    at, here = places(rows, CHANNELS, HEIGHT, WIDTH)
    values = numbers(x, at, here)
    count = tl.minimum(rows - tl.program_id(0) * HEIGHT, HEIGHT)
    mean = tl.sum(values, 0) / count
    distances = tl.where(here, values - mean[None, :], 0.0)
    keep(sums, mean, tl.sum(distances * distances, 0), rows, CHANNELS, HEIGHT, WIDTH)


@triton.jit
def batch_norm_output(
    x, shortcut, y, sums, statistics, weight, bias, running_mean, running_variance,
    rows, momentum, eps,
    RELU: constexpr, CHANNELS: constexpr, HEIGHT: constexpr, WIDTH: constexpr, DOWN: constexpr,
    EARLY: constexpr,
):  # fmt: skip
    """The tiles' moments merged (Chan et al. 1983) and y; by the first tiles mean and 1 / standard
    deviation (2, CHANNELS), for the way back, and the running statistics.
    """
    at, here = places(rows, CHANNELS, HEIGHT, WIDTH)
    values = numbers(x, at, here)  # under way while the moments are merged
    if EARLY:
        gdc_wait()
    means, squares, counts = kept(sums, rows, CHANNELS, HEIGHT, WIDTH, DOWN)
    mean = tl.sum(means * counts, 0) / rows
    distances = means - mean[None, :]
    square = tl.sum(squares + counts * distances * distances, 0)
    scale = tl.rsqrt(square / rows + eps)
    channel = columns(WIDTH)
    slope = scale * tl.load(weight + channel)
    result = (values - mean[None, :]) * slope[None, :] + tl.load(bias + channel)[None, :]
    if shortcut is not None:
        result += numbers(shortcut, at, here)
    if RELU:  # which lets through what is not a number
        result = tl.maximum(result, 0.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(y + at, result.to(y.dtype.element_ty), here)
    if tl.program_id(0) == 0:
        tl.store(statistics + channel, mean)
        tl.store(statistics + CHANNELS + channel, scale)
        before = tl.load(running_mean + channel)
        tl.store(running_mean + channel, before + momentum * (mean - before))
        before = tl.load(running_variance + channel)
        unbiased = square / (rows - 1)
        tl.store(running_variance + channel, before + momentum * (unbiased - before))


@triton.jit
def before_relu(gradient, y, at, here, RELU: constexpr):
    """0 where ReLU has cut."""
    return tl.where(numbers(y, at, here) <= 0, 0.0, gradient) if RELU else gradient


@triton.jit
def normalised(x, statistics, at, here, CHANNELS: constexpr, WIDTH: constexpr):
    """x in standard deviations (HEIGHT, WIDTH), and one over these (WIDTH,)."""
    mean = tl.load(statistics + columns(WIDTH))
    scale = tl.load(statistics + CHANNELS + columns(WIDTH))
    return (numbers(x, at, here) - mean[None, :]) * scale[None, :], scale


@triton.jit
def batch_norm_gradient_sums(
    dy, dy_beside, x, y, gradient, sums, statistics, rows,
    RELU: constexpr, CHANNELS: constexpr, HEIGHT: constexpr, WIDTH: constexpr, DOWN: constexpr,
    EARLY: constexpr,
):  # fmt: skip
    """Each tile's sums of the gradient before ReLU, and of its products with the normalised x.
    Where two gradients came back or one goes on to the shortcut, it is kept for the next kernel.
    """
    if EARLY:
        gdc_launch_dependents()
    at, here = places(rows, CHANNELS, HEIGHT, WIDTH)
    back = numbers(dy, at, here)
    if dy_beside is not None:
        back += numbers(dy_beside, at, here)
    back = before_relu(back, y, at, here, RELU)
    if gradient is not None:
        rounded = back.to(gradient.dtype.element_ty)
        tl.store(gradient + at, rounded, here)
        back = rounded.to(tl.float32)  # the sums of what will be read
    normal, _ = normalised(x, statistics, at, here, CHANNELS, WIDTH)
    first, second = tl.sum(back, 0), tl.sum(back * normal, 0)
    keep(sums, first, second, rows, CHANNELS, HEIGHT, WIDTH)


@triton.jit
def batch_norm_gradients(
    dy, x, y, dx, sums, statistics, weight, dweight, dbias, rows,
    RELU: constexpr, CHANNELS: constexpr, HEIGHT: constexpr, WIDTH: constexpr, DOWN: constexpr,
    EARLY: constexpr,
):  # fmt: skip
    """The tiles' sums merged and the gradient of x; by the first tiles those of weight and bias."""
    at, here = places(rows, CHANNELS, HEIGHT, WIDTH)
    normal, scale = normalised(x, statistics, at, here, CHANNELS, WIDTH)
    if EARLY:
        gdc_wait()  # dy may be what the first kernel has kept
    back = before_relu(numbers(dy, at, here), y, at, here, RELU)
    firsts, seconds, _ = kept(sums, rows, CHANNELS, HEIGHT, WIDTH, DOWN)
    first, second = tl.sum(firsts, 0), tl.sum(seconds, 0)
    channel = columns(WIDTH)
    slope = scale * tl.load(weight + channel)
    result = back - (first / rows)[None, :] - normal * (second / rows)[None, :]
    tl.store(dx + at, (result * slope[None, :]).to(dx.dtype.element_ty), here)
    if tl.program_id(0) == 0:
        tl.store(dbias + channel, first)
        tl.store(dweight + channel, second)
