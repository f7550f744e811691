"""A net that was grown from a shallower one against that one, before any step.

Entries, each for the `neutral` and the `calibrated` variant of the added blocks (residual nets need
no calibration): `<variant>_eval_difference` and `<variant>_train_difference`, the largest
difference between the two nets' logits on the images, in eval and in train mode;
`<variant>_train_error_pct`, the error in train mode, beside `shallow_train_error_pct`.
"""

import torch
from torch import Tensor

from degradation.nets.construction import calibrate, copy_and_extend
from degradation.nets.resnet import ResNet
from degradation.records import Row

IMAGES = 500


def grow(shallow: ResNet, deep: ResNet, images: Tensor, labels: Tensor) -> Row:
    """Makes `deep` the function of the trained `shallow` and says how well; images (B, 3, P, P).

    Plain nets are left calibrated. Statistics of the copied layers are as before.
    """
    added = copy_and_extend(shallow, deep)
    row = compare(shallow, deep, images, labels, "neutral")
    plain = [block for block in added if block.shortcut is None]
    if plain:
        calibrate(deep, plain, images)
        row |= compare(shallow, deep, images, labels, "calibrated")
    return {f"probe/construction/{key}": value for key, value in row.items()}


@torch.no_grad()
def compare(shallow: ResNet, deep: ResNet, images: Tensor, labels: Tensor, variant: str) -> Row:
    row = {}
    for mode in ("eval", "train"):
        theirs, ours = (_logits(model, images, mode) for model in (shallow, deep))
        row[f"{variant}_{mode}_difference"] = (ours - theirs).abs().max().item()
    row["shallow_train_error_pct"] = _error_pct(theirs, labels)
    row[f"{variant}_train_error_pct"] = _error_pct(ours, labels)
    return row


def _logits(model: ResNet, images: Tensor, mode: str) -> Tensor:
    """Leaves batch norm's statistics as they were, and the net in train mode."""
    buffers = [buffer.clone() for buffer in model.buffers()]
    logits: Tensor = model.train(mode == "train")(images)
    for buffer, before in zip(model.train().buffers(), buffers, strict=True):
        buffer.copy_(before)
    return logits.float()


def _error_pct(logits: Tensor, labels: Tensor) -> float:
    return 100 * (logits.argmax(1) != labels).float().mean().item()
