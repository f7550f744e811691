"""Which columns of a record are its curves: for the figures, which choose among the columns that
runs have, and for W&B, which gets them a second time under names that end in the kind.
"""

from collections.abc import Mapping
from typing import Any

ERROR, LOSS = "error_pct", "loss"
LOSSES = ("train/loss", "eval/train_loss", "test/loss")
"""What every run that has come to its end has measured there."""
TRAIN = ("eval/train_subset_", "eval/train_")
TEST = ("test/", "test/subset_")
RUNNING = "train/"
"""What stands before the measure. Clean curves are measured on all images or on some of them, which
is the config's choice; the running error is that of the augmented batches.
"""


def measure(config: Mapping[str, Any]) -> str:
    """Of nets that copy their input the loss, since they have no errors. config: as in a record."""
    return LOSS if config["model"]["net"] in ("stack", "autoencoder") else ERROR


def curves(config: Mapping[str, Any]) -> dict[str, str]:
    """Name -> column. `train_error_pct` and `test_error_pct` are clean, and of the same images all
    along; where a run has nothing clean before its end there is `running_error_pct`.
    """
    trainer, what = config["trainer"], measure(config)
    if trainer["eval_every"]:
        train, test = TRAIN[0], TEST[bool(trainer["curve_test_images"])]
    elif trainer["full_eval_every"]:
        train, test = TRAIN[1], TEST[0]
    else:
        return {f"running_{what}": f"{RUNNING}{what}"}
    return {f"train_{what}": f"{train}{what}", f"test_{what}": f"{test}{what}"}


def by_kind(name: str, kind: str) -> str:
    """`train_error_pct/plain`: W&B makes a section of what has the same before the slash."""
    return f"{name}/{kind}"
