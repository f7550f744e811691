"""Runs grown from a shallower net: the shallow run is the one of its own name, and they resume."""

from pathlib import Path

import pytest
import torch
from tests.helpers import TIMES, TINY, call, lines_of, make_config, only_run, read_json, weights

from degradation import checkpoint, train

RUN = ("data=shapes", "tracking=off", *TINY, "model.kind=plain", "model.depth=20")
GROWN = (*RUN, "model.grown_from=14")
DOTTED = ("data.name=shapes", "tracking.mode='off'", *TINY, *GROWN[-3:])


def test_the_shallow_net_is_that_of_its_own_run(tmp_path: Path) -> None:
    """Grown to its own depth and looked at before any step, it has that run's errors."""
    alone = (*RUN, "model.depth=14", f"output_root={tmp_path / 'alone'}")
    assert call(*alone) == 0
    summary = read_json(only_run(tmp_path / "alone") / "summary.json")
    grown = (*RUN, "model.depth=14", "model.grown_from=14", f"output_root={tmp_path / 'grown'}")
    assert call(*grown) == 0
    start = lines_of(only_run(tmp_path / "grown"))[0]
    assert start["iteration"] == 0
    found = start["probe/construction/shallow_eval_train_error_pct"]
    assert found == summary["last"]["eval/train_error_pct"]
    assert start["probe/construction/neutral_eval_difference"] == 0


def test_a_grown_run_that_was_stopped_continues_without_growing_again(tmp_path: Path) -> None:
    whole, parts = (
        make_config(*DOTTED, f"output_root={tmp_path / name}") for name in ("whole", "parts")
    )
    baseline = make_config()
    train.run(whole, baseline)
    turns = train.in_turns(parts, baseline)
    saved = 0
    while saved < 10:
        next(turns)
        for path in (tmp_path / "parts").rglob(checkpoint.CHECKPOINT):
            saved = torch.load(path, weights_only=True)["progress"]["iteration"]
    turns.close()
    train.run(parts, baseline)
    mine, theirs = (only_run(tmp_path / name) for name in ("parts", "whole"))
    assert all(torch.equal(tensor, weights(theirs)[name]) for name, tensor in weights(mine).items())
    timeless = [
        [{key: value for key, value in row.items() if key not in TIMES} for row in lines_of(run)]
        for run in (mine, theirs)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("model.grown_from=22", "model.grown_from: 22; accepted: 0 or even numbers from 8 to"),
        (
            "model.kind=residual model.shortcut=C",
            "model.grown_from: 14; accepted: 0 but for post-activation",
        ),
        ("model.batch_norm=false", "model.grown_from: 14; accepted: 0 but for post-activation"),
    ],
)
def test_what_cannot_be_grown_is_one_line(
    override: str, line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(*GROWN, *override.split(), f"output_root={tmp_path}") == 2
    assert capfd.readouterr().err.startswith(f"error: {line}")


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_shallow_net_that_diverges_ends_the_run_as_diverged(kind: str, tmp_path: Path) -> None:
    assert call(*GROWN, f"model.kind={kind}", "optim.lr=1e20", f"output_root={tmp_path}") == 0
    assert read_json(only_run(tmp_path) / "summary.json")["status"] == "diverged"
