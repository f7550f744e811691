"""The GPU benchmark's contestants and numbers, as far as a CPU can show them."""

import itertools
from pathlib import Path

import pytest
import torch
from tests.helpers import noise_data, noise_images, tiny_config

from degradation.benchmark import gpu
from degradation.benchmark.throughput import paper
from degradation.data.batches import prepare


def test_the_contestants_are_all_there_and_begin_only_when_told(tmp_path: Path) -> None:
    data = prepare(noise_images(), paper(8, "bf16").data, torch.device("cpu"))
    assert list(gpu.contestants(8, data, tmp_path, every=1)) == [
        "usual", "eager", "compiled", "captured", "captured_any_algorithm", "captured_compiled",
        "captured_tf32", "fleet",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["eager", "captured", "captured_any_algorithm", "fleet"])
def test_a_contestant_takes_its_steps(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "FLEET", 2)
    data = prepare(noise_images(), paper(8, "bf16").data, torch.device("cpu"))
    run = gpu.contestants(8, data, tmp_path, every=1)[name]()
    assert list(itertools.islice(run, 2)) == [None, None]


def test_the_fleet_takes_the_steps_of_each_of_its_runs() -> None:
    configs = [tiny_config(f"seed={seed}") for seed in (0, 1)]
    turns = gpu.fleet_turns(configs, noise_data(configs[0]))
    assert len(list(itertools.islice(turns, 4))) == 4  # 20 iterations, a row each 5
    with pytest.raises(RuntimeError):  # StopIteration: the runs have ended
        next(turns)


def test_the_floor_counts_the_outputs_of_the_convs() -> None:
    """ResNet-20: 7 convs of 16 x 32 x 32, 6 of 32 x 16 x 16, 6 of 64 x 8 x 8."""
    outputs = 7 * 16 * 32 * 32 + 6 * 32 * 16 * 16 + 6 * 64 * 8 * 8
    assert gpu.step_bytes(20) == 7 * outputs * 128 * 2


def test_numbers_are_steps_ratios_and_targets() -> None:
    names = ("usual", "eager", "compiled", "captured", "fleet")
    rates = dict(zip(names, (1e3, 1e4, 5e4, 128_000.0, 256_000.0), strict=True))
    part = gpu.numbers(20, {name: [rate, rate] for name, rate in rates.items()}, 4e12)
    assert part["captured/step"]["median"] == 1.0
    assert part["captured/step"]["met"]
    assert part["fleet/step"]["median"] == 0.5
    assert part["fleet_over_compiled"]["median"] == pytest.approx(5.12)
    assert part["fleet_over_usual"]["median"] == 256
    floor = 1000 * gpu.step_bytes(20) / 4e12
    assert part["captured_over_floor"]["median"] == pytest.approx(1 / floor, rel=1e-3)


def test_a_seed_is_the_eight_arms_of_the_paper_without_evaluations() -> None:
    configs = gpu.seed_configs()
    arms = {(cfg.model.kind, cfg.model.depth) for cfg in configs}
    assert arms == set(itertools.product(("plain", "residual"), (18, 34, 56, 110)))
    assert len(configs) == 8
    assert {cfg.trainer.eval_every for cfg in configs} == {0}
    assert {(cfg.trainer.batch_size, cfg.schedule.iterations) for cfg in configs} == {(128, 64_000)}
