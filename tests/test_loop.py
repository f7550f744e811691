"""The loop: what it records and when, and that it depends on nothing but its config."""

import copy
import itertools
import math
import time

import pytest
import torch
from tests.helpers import fresh_state, noise_data, tiny_config, without_times
from torch import nn

from degradation.config import Config
from degradation.data.batches import Data
from degradation.loop import State, train
from degradation.optim import learning_rate
from degradation.records import Row
from degradation.step import evaluate

RUNNING = {"iteration", "epoch", "lr", "wall_s", "images_per_s", "train/loss", "train/error_pct"}
CURVE = {f"{name}_{of}" for name in ("eval/train_subset", "test/subset") for of in ("loss",)}
CURVE |= {name.replace("loss", "error_pct") for name in CURVE}
WHOLE = {"eval/train_loss", "eval/train_error_pct", "test/loss", "test/error_pct"}


@pytest.fixture(scope="module")
def data() -> Data:
    return noise_data(tiny_config())


def rows_of(cfg: Config, data: Data) -> list[Row]:
    return list(train(fresh_state(cfg), data, cfg))


def test_what_is_recorded_when(data: Data) -> None:
    cfg = tiny_config("schedule.iterations=23", "trainer.full_eval_every=15")
    rows = rows_of(cfg, data)
    assert {row["iteration"]: row.keys() - RUNNING for row in rows} == {
        5: set(),
        10: CURVE,
        15: WHOLE,
        20: CURVE,
        23: CURVE | WHOLE,
    }
    assert all(row.keys() >= RUNNING for row in rows)
    assert [row["epoch"] for row in rows] == [48 * row["iteration"] / 256 for row in rows]
    walls = [row["wall_s"] for row in rows]
    assert walls == sorted(walls)


def test_time_is_that_of_the_run_and_speed_that_of_its_steps(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that a step moves by a quarter of a second, a look at a set by 2 seconds and who
    takes the rows by 1,000.
    """
    passed = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: sum(passed))
    state = fresh_state(cfg := tiny_config("trainer.eval_batch_size=256"))
    take_step = state.optimizer.step

    def step() -> None:
        passed.append(0.25)
        take_step()

    monkeypatch.setattr(state.optimizer, "step", step)
    state.model.register_forward_hook(
        lambda model, *_: passed.extend([] if model.training else [2])
    )
    rows = []
    for row in train(state, data, cfg):
        rows.append(row)
        passed.append(1000)
    # 2 sets are looked at after 10 steps, 4 after 20
    assert [row["wall_s"] for row in rows] == [1.25, 6.5, 7.75, 17.0]
    assert [row["images_per_s"] for row in rows] == [5 * 48 / 1.25] * 4


def test_curves_only_at_the_end(data: Data) -> None:
    cfg = tiny_config("trainer.eval_every=0", "trainer.curve_test_images=0")
    *early, last = rows_of(cfg, data)
    assert [row["iteration"] for row in early] == [5, 10, 15]
    assert all(row.keys() == RUNNING for row in early)
    subset = {"eval/train_subset_loss", "eval/train_subset_error_pct"}
    assert last.keys() == RUNNING | subset | WHOLE


def test_whole_test_set_in_the_curves(data: Data) -> None:
    rows = rows_of(tiny_config("trainer.curve_test_images=0"), data)
    assert rows[1]["iteration"] == 10
    assert rows[1].keys() >= {"test/loss", "test/error_pct"}


@pytest.mark.parametrize("warmup", ["none", "constant", "linear"])
def test_recorded_rate_is_the_rule_at_the_last_step(data: Data, warmup: str) -> None:
    cfg = tiny_config("trainer.record_every=1", f"schedule.warmup={warmup}")
    rates = {row["iteration"]: row["lr"] for row in rows_of(cfg, data)}
    assert rates == {
        iteration + 1: learning_rate(iteration, 0.1, 8, cfg.schedule) for iteration in range(20)
    }
    first = {"none": 0.1, "constant": 0.01, "linear": 0.025}[warmup]
    assert (rates[1], rates[12], rates[13]) == pytest.approx((first, 0.1, 0.01))


def test_rate_in_the_record_is_the_rate_of_the_step(data: Data) -> None:
    state = fresh_state(cfg := tiny_config("trainer.record_every=1"))
    for row in train(state, data, cfg):
        assert row["lr"] == state.optimizer.param_groups[0]["lr"]


def test_running_error_is_of_the_images_since_the_last_row(data: Data) -> None:
    fine, coarse = (
        rows_of(tiny_config(f"trainer.record_every={every}", "trainer.eval_every=10"), data)
        for every in (1, 10)
    )
    for key in ("train/loss", "train/error_pct"):
        for number, row in enumerate(coarse):
            part = [one[key] for one in fine[10 * number : 10 * number + 10]]
            assert row[key] == pytest.approx(sum(part) / 10, rel=1e-5)
    wrong = [row["train/error_pct"] * 48 / 100 for row in fine]
    assert wrong == pytest.approx([round(count) for count in wrong])  # whole images


def test_evaluations_are_of_what_they_say(data: Data) -> None:
    state = fresh_state(cfg := tiny_config())
    *_, last = train(state, data, cfg)
    for split, part in (("eval/train_", data.train), ("test/", data.test)):
        for prefix, images in ((split, part), (f"{split}subset_", part.first(100))):
            loss, error_pct = evaluate(state.model, images, data, 31, "fp32")
            assert last[f"{prefix}error_pct"] == error_pct
            assert last[f"{prefix}loss"] == pytest.approx(loss, rel=1e-5)


def test_looking_does_not_change_what_is_looked_at(data: Data) -> None:
    """More evaluations, rows and a probe: the same weights in the end."""

    def probe(model: nn.Module) -> Row:
        return {"probe/weight": sum(p.abs().sum().item() for p in model.parameters())}

    states = [fresh_state(tiny_config()) for _ in range(2)]
    often = tiny_config("trainer.record_every=1", "trainer.eval_every=1", "trainer.probe_every=1")
    rows = list(train(states[0], data, often, probes=[probe]))
    list(train(states[1], data, tiny_config("trainer.eval_every=0")))
    assert all("probe/weight" in row for row in rows)
    weights, others = (state.model.state_dict() for state in states)
    assert all(torch.equal(weights[key], others[key]) for key in weights)


def test_runs_in_turns_are_the_runs_alone(data: Data) -> None:
    configs = [tiny_config(f"seed={seed}", "model.kind=plain") for seed in (0, 1)]
    configs.append(tiny_config("model.depth=12"))
    alone = [rows_of(cfg, data) for cfg in configs]
    turns = zip(*(train(fresh_state(cfg), data, cfg) for cfg in configs), strict=True)
    for rows, together in zip(zip(*alone, strict=True), turns, strict=True):
        assert without_times(rows) == without_times(together)
    assert alone[0] != alone[1]


def test_seed_decides_the_data_too(data: Data) -> None:
    """From the same weights, another seed trains on the images in another order."""
    cfg = tiny_config("seed=1")
    other = list(train(fresh_state(tiny_config("seed=0")), data, cfg))
    assert without_times(other) != without_times(rows_of(tiny_config("seed=0"), data))


def test_continues_from_a_state(data: Data) -> None:
    """A copy of model, momentum and iteration is all that a run is."""
    cfg = tiny_config()
    state = fresh_state(cfg)
    rows = train(state, data, cfg)
    first = list(itertools.islice(rows, 2))
    assert [row["iteration"] for row in first] == [5, 10]
    other = fresh_state(tiny_config("seed=7"))
    other.model.load_state_dict(copy.deepcopy(state.model.state_dict()))
    other.optimizer.load_state_dict(copy.deepcopy(state.optimizer.state_dict()))
    continued = State(other.model, other.optimizer, iteration=10, recorded=10)
    assert without_times(list(train(continued, data, cfg))) == without_times(list(rows))


def test_nothing_left_to_do(data: Data) -> None:
    state = fresh_state(cfg := tiny_config())
    state.iteration = state.recorded = 20
    assert list(train(state, data, cfg)) == []


def test_a_diverged_run_ends_at_its_row_and_without_nan(data: Data) -> None:
    cfg = tiny_config(
        "optim.lr=1e30", "schedule.warmup=none", "model.batch_norm=false", "trainer.eval_every=5"
    )
    rows = rows_of(cfg, data)
    assert rows[-1]["iteration"] < 20
    assert "train/loss" not in rows[-1]
    assert rows[-1].keys() >= {"iteration", "epoch", "lr", "wall_s", "train/error_pct"}
    assert rows[-1].keys() <= RUNNING  # what it ends as is not looked at any more
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_an_evaluation_that_overflows_ends_no_run(data: Data) -> None:
    """In eval mode a deep plain net multiplies up what its running statistics are behind."""
    deep = ("model.kind=plain", "model.depth=110", "optim.lr=0.3", "schedule.warmup=none")
    looking, not_looking = (
        rows_of(tiny_config(*deep, f"trainer.eval_every={every}"), data) for every in (5, 0)
    )
    assert "eval/train_subset_loss" not in looking[0]  # or it shows nothing
    assert [row["train/loss"] for row in looking] == [row["train/loss"] for row in not_looking]
    assert looking[-1]["iteration"] == 20


def test_loop_in_bf16(data: Data) -> None:
    exact, rounded = (
        rows_of(tiny_config(f"trainer.precision={p}"), data) for p in ("fp32", "bf16")
    )
    assert [row.keys() for row in exact] == [row.keys() for row in rounded]
    assert exact[0]["train/loss"] != rounded[0]["train/loss"]
    assert rounded[0]["train/loss"] == pytest.approx(exact[0]["train/loss"], rel=0.1)


def test_learns(data: Data) -> None:
    """One batch, over and over: a step that does not descend would stay at chance."""
    cfg = tiny_config(
        "data.train_images=48", "data.augment=false", "schedule.iterations=60", "model.width=8",
        "schedule.milestones=[50]",
    )  # fmt: skip
    rows = rows_of(cfg, noise_data(cfg))
    assert rows[0]["train/error_pct"] > 60
    assert rows[-1]["eval/train_error_pct"] < 10
