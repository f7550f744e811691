"""Shattered gradients (Balduzzi et al. 2017): how alike the gradients with respect to the input are
at points along straight lines from one training image to another.

The paper's minimal model (Sec. 1.1) is a net of one input and one output, its gradient taken at 256
points of a line, and the autocorrelation of that series: near 1 where neighbours agree (a linear
function, or brown noise at small lags), 0 for white noise. Here:

- output: one logit, that of the class the line starts from. No loss: it would bring in a factor of
  its own.
- input: an image, so the gradient is a vector. The correlation of two of them is their cosine. The
  paper's theorems (Sec. 3) are about E[g_i g_j] / sqrt(E[g_i^2] E[g_j^2]) over random weights, of
  gradients with mean zero; the cosine estimates it over the pixels of one net. No mean is
  subtracted: the gradients of a linear net are all alike, and their correlation is 1.
- batch norm: with the statistics of a batch of training images, held fixed, as a step of training
  would see each point. Normalised together, the points of a line would be drawn apart until they
  are as unlike one another as strangers, and each one's gradient would contain its influence on all
  others. The running statistics know nothing of the net before the first step.

Entries: `autocorrelation/<lag>`, mean over pairs of points `lag` steps apart and over the lines (63
steps: the two images); `mean`, over all pairs; `slope/<i>`, the logit's derivative at the i-th
of 64 points on the first tenth of the first line, which pictures it. (It is the component that
changes fastest, since along the line units are switched by it, and says less than all of them.)
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from degradation.nets.resnet import ResNet
from degradation.records import Row

IMAGES = 64
"""For batch norm's statistics, a batch of preset `quick`; the lines join the first of them."""
LINES = 4
POINTS = 64
CLOSE_UP = 0.1
"""Share of the first line that the slopes are taken on: on all of it every net looks jagged."""
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 63)


def measure(model: ResNet, images: Tensor, labels: Tensor) -> Row:
    """images: (B, 3, P, P) float32; labels: (B,); B at least 8. Numbers that are not finite, as
    where a gradient is zero, are left out. Everything is as before afterwards.
    """
    with _fixed_statistics(model, images):
        lines = [
            input_gradients(model, line(images[i], images[i + 1]), int(labels[i]))
            for i in range(0, 2 * LINES, 2)
        ]
        near = torch.lerp(images[0], images[1], CLOSE_UP)
        close_up = input_gradients(model, line(images[0], near), int(labels[0]))
    slopes = close_up @ (images[1] - images[0]).flatten().cpu().double()
    by_lag = torch.stack([autocorrelation(grads) for grads in lines]).mean(0)  # (POINTS - 1,)
    pairs = torch.arange(POINTS - 1, 0, -1)
    row = {f"probe/shattering/autocorrelation/{lag}": by_lag[lag - 1].item() for lag in LAGS}
    row["probe/shattering/mean"] = (by_lag @ (pairs / pairs.sum()).double()).item()
    row |= {f"probe/shattering/slope/{i}": slope for i, slope in enumerate(slopes.tolist(), 1)}
    return {key: value for key, value in row.items() if math.isfinite(value)}


def line(start: Tensor, end: Tensor) -> Tensor:
    """(3, P, P) twice -> (POINTS, 3, P, P), evenly spaced, both ends included."""
    share = torch.linspace(0, 1, POINTS, dtype=start.dtype, device=start.device)
    return torch.lerp(start, end, share[:, None, None, None])


def input_gradients(model: nn.Module, points: Tensor, label: int) -> Tensor:
    """(N, 3, P, P) -> (N, 3*P*P) float64: the gradient of the label's logit at each point, for a
    model that sees each alone. Float64: the squares of small gradients are zero in float32; on the
    CPU, since MPS has no float64.
    """
    points = points.detach().requires_grad_()
    logits: Tensor = model(points)  # (N, 10)
    (grads,) = torch.autograd.grad(logits[:, label].sum(), points)
    return grads.flatten(1).cpu().double()


def autocorrelation(grads: Tensor) -> Tensor:
    """(N, D) -> (N - 1,): at lags 1 to N - 1 the mean cosine of the rows that far apart."""
    unit = grads / torch.linalg.vector_norm(grads, dim=1, keepdim=True)
    cosines = unit @ unit.T
    return torch.stack([cosines.diagonal(lag).mean() for lag in range(1, len(grads))])


@contextmanager
def _fixed_statistics(model: ResNet, images: Tensor) -> Iterator[None]:
    """Eval mode with batch norm's statistics of these images; afterwards as before."""
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    before, momenta = [b.clone() for b in model.buffers()], [norm.momentum for norm in norms]
    was_training = model.training
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the groups that are normalised together
        with torch.no_grad():
            model.train()(images)
        model.eval()
        yield
    finally:
        model.train(was_training)
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
