"""One optimisation step, eager or as a captured CUDA graph, and one look at a data set."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degradation import distributed
from degradation.config import HardwareConfig
from degradation.data.batches import Data, Split, clean
from degradation.nets.kernels import forward_by

WARM_UP_STEPS = 3
"""Before a capture, so that libraries have set themselves up."""


class Totals:
    """What adds up on the device from step to step, until a row of the record is made of it."""

    def __init__(self, device: torch.device):
        self.loss = torch.zeros((), device=device)
        self.wrong = torch.zeros((), dtype=torch.int64, device=device)
        self.images = self.steps = 0

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint between two rows."""
        return dict(vars(self))

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """In place: a captured step writes where it did when it was captured."""
        self.loss.copy_(saved["loss"])
        self.wrong.copy_(saved["wrong"])
        self.images, self.steps = int(saved["images"]), int(saved["steps"])

    def clear(self) -> None:
        """Begins the next row."""
        self.loss.zero_()
        self.wrong.zero_()
        self.images = self.steps = 0


class EagerStep:
    """Forward, backward and SGD of one batch; loss and errors add up in `totals`."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        precision: str,
        totals: Totals | None = None,
        kernels: str = "library",
    ):
        self.copies = copies_input(model)
        self.model, self.optimizer, self.precision = model, optimizer, precision
        usual = kernels == "library"
        self.forward = distributed.parallel(model) if usual else forward_by(kernels, model)
        device = next(model.parameters()).device
        self.totals = totals or Totals(device)
        self._rate = 0.0
        # a captured step would go on with the number it was captured with; eager and captured round
        # the rate alike only if both have it in the same form (Adam, never captured, would wait for
        # the GPU to tell it)
        on_device = device.type == "cuda" and isinstance(optimizer, torch.optim.SGD)
        self._lr = torch.zeros((), device=device) if on_device else None
        if self._lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = self._lr

    def __call__(self, images: Tensor, labels: Tensor, lr: float) -> None:
        """images: (B, C, P, P) float32; labels: (B,) int64."""
        self._set_rate(lr)
        self._update(images, labels)
        self.totals.images += len(labels) * distributed.size()
        self.totals.steps += 1

    def _set_rate(self, lr: float) -> None:
        if self._lr is None:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
        elif lr != self._rate:
            self._lr.fill_(lr)
            self._rate = lr

    def _update(self, images: Tensor, labels: Tensor) -> None:
        with autocast(images.device, self.precision):
            output = self.forward(images)  # (B, 10), or the images' own shape
        loss = loss_of(self.model, output, images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.totals.loss += distributed.mean(loss.detach())
        if not self.copies:
            self.totals.wrong += distributed.total((output.detach().argmax(1) != labels).sum())

    def read(self) -> tuple[float, float]:
        """Mean loss and error in percent of the steps in `totals`: running, augmented, train mode;
        of a net that copies its input the error has no meaning. Synchronises.
        """
        totals = self.totals
        return totals.loss.item() / totals.steps, 100 * totals.wrong.item() / totals.images


class CapturedStep(EagerStep):
    """The same step, replayed as one CUDA graph: one launch where eager needs about ten a layer.

    The graph is made at the first batch and takes batches of that form only.
    """

    _graph: torch.cuda.CUDAGraph | None = None

    def _update(self, images: Tensor, labels: Tensor) -> None:
        if self._graph is None:
            self._images_in, self._labels_in = images.clone(), labels.clone()
            self._graph = self._capture()
        self._images_in.copy_(images)
        self._labels_in.copy_(labels)
        self._graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Leaves weights, momentum, statistics and counts as they were: only the capture's own
        steps moved them.
        """
        self._make_momentum()
        # detached: the graph of a copy would keep the gradients' nodes alive, and those belong to
        # the stream they are made on, which is not the one that is captured
        kept = [tensor.detach().clone() for tensor in self._moved()]
        here = torch.cuda.current_stream()
        # cuBLAS has one workspace a stream, whose address the graph keeps: captured on a stream
        # that runs share, their graphs would write to the same one at once
        is_default = here == torch.cuda.default_stream()  # which cannot be captured
        stream = torch.cuda.Stream() if is_default else here  # type: ignore[no-untyped-call]
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                super()._update(self._images_in, self._labels_in)
        here.wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)  # so that the graph's own memory holds them
        graph = torch.cuda.CUDAGraph()
        # other threads, such as W&B's, may use CUDA meanwhile
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            super()._update(self._images_in, self._labels_in)
        with torch.no_grad():
            for tensor, value in zip(self._moved(), kept, strict=True):
                tensor.copy_(value)
        return graph

    def _make_momentum(self) -> None:
        """Zeros, from which the first step makes what it otherwise starts with: its gradients."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if group["momentum"]:
                    zeros = torch.zeros_like(parameter)
                    self.optimizer.state[parameter].setdefault("momentum_buffer", zeros)

    def _moved(self) -> list[Tensor]:
        """What a step writes to."""
        momentum = [s["momentum_buffer"] for s in self.optimizer.state.values() if s]
        tensors = [*self.model.parameters(), *self.model.buffers(), *momentum]
        return [*tensors, self.totals.loss, self.totals.wrong]


def build_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: str,
    hardware: HardwareConfig,
    totals: Totals | None = None,
) -> EagerStep:
    """As one CUDA graph where `hardware` wants it, the model is on CUDA and the optimizer SGD; the
    same numbers either way. One of several processes takes eager steps: a graph would hold NCCL's
    launches too, which are safe there only after warm-up rounds and settings of their own.
    """
    captures = hardware.captures and distributed.size() == 1
    captured = (
        captures and next(model.parameters()).is_cuda and isinstance(optimizer, torch.optim.SGD)
    )
    step = CapturedStep if captured else EagerStep
    return step(model, optimizer, precision, totals, hardware.batch_norm_kernels)


def copies_input(model: nn.Module) -> bool:
    """Whether the net has a loss of its own, against its input, instead of labels."""
    return hasattr(model, "loss")


def loss_of(model: nn.Module, output: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """The mean over a batch: cross-entropy of logits (B, 10), or the net's own."""
    if copies_input(model):
        return model.loss(output.float(), images)  # type: ignore[no-any-return, operator]
    return F.cross_entropy(output.float(), labels)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@torch.no_grad()
def evaluate(
    model: nn.Module, split: Split, data: Data, batch_size: int, precision: str
) -> tuple[float, float]:
    """Mean loss and error in percent on clean images in eval mode; the model is back in train mode
    afterwards. Of a net that copies its input the error has no meaning. Raises Stopped.
    """
    model.eval()
    loss = torch.zeros((), device=data.mean.device)
    wrong = torch.zeros((), dtype=torch.int64, device=data.mean.device)
    for pixels, labels in zip(
        torch.split(split.images, batch_size), torch.split(split.labels, batch_size), strict=True
    ):
        distributed.check()
        pixels, labels = map(distributed.part, (pixels, labels))
        if not len(labels):
            continue
        images = clean(data, pixels)
        with autocast(images.device, precision):
            output = model(images)
        if copies_input(model):
            loss += loss_of(model, output, images, labels) * len(labels)
        else:
            loss += F.cross_entropy(output.float(), labels, reduction="sum")
            wrong += (output.argmax(1) != labels).sum()
    model.train()
    loss, wrong = map(distributed.total, (loss, wrong))
    return loss.item() / len(split), 100 * wrong.item() / len(split)
