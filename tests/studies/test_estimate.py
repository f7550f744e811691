"""The estimate of a sweep's time: its arithmetic by hand, its counts by counting."""

import math

import pytest
import torch
from tests.helpers import fresh_state, noise_images, tiny_config

from degradation.config import Config
from degradation.data.batches import prepare
from degradation.loop import train
from degradation.studies import estimate

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("durations", "workers", "total"),
    [
        ([5, 4, 3], 1, 12),
        ([6, 5, 4, 3], 2, 9),  # 6 + 3 beside 5 + 4
        ([10, 1, 1], 8, 10),  # no shorter than its longest run
        ([1, 1, 8], 2, 9),  # the order counts
    ],
)
def test_side_by_side(durations: list[float], workers: int, total: float) -> None:
    assert estimate.side_by_side_s(durations, workers) == total


def counted(cfg: Config) -> int:
    """Images that pass through the net in eval mode while the run is really trained."""
    seen = 0

    def count(model: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        nonlocal seen
        seen += 0 if model.training else len(inputs[0])

    state = fresh_state(cfg)
    state.model.register_forward_pre_hook(count)
    data = prepare(noise_images(train=256, test=10_000), cfg.data, CPU)
    for _ in train(state, data, cfg):
        pass
    return seen


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("trainer.eval_every=0",),
        ("trainer.eval_every=15",),  # not a divisor: 15 and the end, 20
        ("trainer.full_eval_every=10",),
        ("trainer.curve_train_images=9999",),
    ],
)
def test_images_evaluated_are_those_of_a_real_run(overrides: tuple[str, ...]) -> None:
    cfg = tiny_config("trainer.eval_batch_size=1000", *overrides)
    assert estimate.images_evaluated(cfg) == counted(cfg)


def test_a_run_is_its_steps_and_its_evaluations() -> None:
    cfg = tiny_config()  # 20 steps of 48; 2 x (100 + 100) and 256 + 10,000 images evaluated
    assert estimate.run_s(cfg, step_s=48.0) == pytest.approx(20 * 48 + (400 + 10_256) / 3)


def test_a_grown_run_counts_with_the_net_that_it_grows_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cfg = tiny_config("model.depth=14", "model.grown_from=8", "trainer.eval_every=0")
    monkeypatch.setattr(estimate, "time_step_s", lambda cfg, _: float(cfg.model.depth))
    images = (100 + 100 + 256 + 10_000) / 48 / 3  # evaluated once, by each
    whole = (20 + images) * (8 + 14) + estimate.RUN_S + estimate.SWEEP_S
    assert estimate.sweep_s([cfg]) == pytest.approx(whole)


def test_a_sweep_is_timed_and_leaves_the_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    runs = [tiny_config(f"model.depth={depth}") for depth in (14, 8)]
    seconds = estimate.sweep_s(runs)
    assert 0 < seconds < math.inf
    assert torch.get_num_threads() == threads
    longer = [tiny_config(f"model.depth={d}", "schedule.iterations=2000000") for d in (14, 8)]
    assert estimate.sweep_s(longer) > seconds


@pytest.mark.parametrize(
    ("timed_s", "expected_s"),
    [
        ({8: 0.5, 20: 1.5}, {8: 0.5, 14: 1.0, 20: 1.5, 26: 2.0}),
        ({8: 0.5, 20: 0.4}, {8: 0.5, 14: 0.5, 20: 0.5, 26: 0.5}),  # a disturbed machine
    ],
)
def test_depths_that_are_not_timed_lie_on_a_line_in_their_multiply_adds(
    timed_s: dict[int, float], expected_s: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of 6 layers adds the same multiply-adds, one block a stage."""
    monkeypatch.setattr(estimate, "time_step_s", lambda cfg, _device: timed_s[cfg.model.depth])
    runs = [tiny_config(f"model.depth={depth}", "model.width=16") for depth in expected_s]
    assert estimate._fit(runs, CPU) == pytest.approx(expected_s)


def test_workers_are_no_more_than_the_cores() -> None:
    assert 1 <= estimate.workers(CPU) <= torch.multiprocessing.cpu_count()
    assert estimate.workers(torch.device("cuda")) == 1
