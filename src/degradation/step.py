"""One optimisation step, and one look at a data set."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degradation.data.batches import Data, Split, normalise


class EagerStep:
    """Forward, backward and SGD of one batch; loss and errors add up on the device until `read`."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, precision: str):
        self.model, self.optimizer, self.precision = model, optimizer, precision
        self._reset()

    def _reset(self) -> None:
        device = next(self.model.parameters()).device
        self._loss = torch.zeros((), device=device)
        self._wrong = torch.zeros((), dtype=torch.int64, device=device)
        self._images = self._steps = 0

    def __call__(self, images: Tensor, labels: Tensor, lr: float) -> None:
        """images: (B, 3, P, P) float32; labels: (B,) int64."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with autocast(images.device, self.precision):
            logits = self.model(images)  # (B, 10)
        loss = F.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._loss += loss.detach()
        self._wrong += (logits.detach().argmax(1) != labels).sum()
        self._images += len(labels)
        self._steps += 1

    def read(self) -> tuple[float, float]:
        """Mean loss and error in percent since the last read: running, augmented, train mode.
        Synchronises.
        """
        loss, error_pct = self._loss.item() / self._steps, 100 * self._wrong.item() / self._images
        self._reset()
        return loss, error_pct


def autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@torch.no_grad()
def evaluate(
    model: nn.Module, split: Split, data: Data, batch_size: int, precision: str
) -> tuple[float, float]:
    """Mean loss and error in percent on clean images in eval mode; the model is back in train mode
    afterwards.
    """
    model.eval()
    loss = torch.zeros((), device=data.mean.device)
    wrong = torch.zeros((), dtype=torch.int64, device=data.mean.device)
    for pixels, labels in zip(
        torch.split(split.images, batch_size), torch.split(split.labels, batch_size), strict=True
    ):
        images = normalise(pixels[:, :-1], data.mean[:-1], data.pixels)
        with autocast(images.device, precision):
            logits = model(images)
        loss += F.cross_entropy(logits.float(), labels, reduction="sum")
        wrong += (logits.argmax(1) != labels).sum()
    model.train()
    return loss.item() / len(split), 100 * wrong.item() / len(split)
