"""Side by side as the fleet drives them; and what is made of the times, by hand."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmark import small
from tests.helpers import make_config

from degradation.benchmark import gpu_seed, traffic
from degradation.benchmark.gpu_seed import Course


def test_a_seed_is_the_eight_arms_of_the_paper() -> None:
    configs = gpu_seed.arms("seed=0", "trainer.precision=bf16")
    arms = {(cfg.model.kind, cfg.model.depth) for cfg in configs}
    assert arms == set(itertools.product(("plain", "residual"), (18, 34, 56, 110)))
    assert len(configs) == 8
    assert {cfg.trainer.precision for cfg in configs} == {"bf16"}
    assert {(cfg.trainer.batch_size, cfg.schedule.iterations) for cfg in configs} == {(128, 64_000)}
    assert {(cfg.trainer.eval_every, cfg.trainer.full_eval_every) for cfg in configs} == {
        (1000, 8000)
    }
    short = gpu_seed.shortened(configs[0], None, "folder")
    stretches, rest = divmod(short.schedule.iterations, short.trainer.eval_every)
    assert (stretches, rest) == (3, 0)


def test_all_of_it_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small.shrink(monkeypatch, gpu_seed)
    monkeypatch.setattr(gpu_seed, "SHORT", 12)
    arms = gpu_seed.arms
    monkeypatch.setattr(gpu_seed, "arms", lambda *overrides: arms(*small.ARMS, *overrides))
    *_, part = gpu_seed.measure(None, small.CPU)
    told, without = capsys.readouterr(), {name for name in gpu_seed.COURSES if "fused" in name}
    assert told.out.splitlines() == [  # Triton's kernels
        f"{name} is left out: not all arms came to their end; what failed is told above"
        for name in gpu_seed.COURSES
        if name in without
    ]
    for name in gpu_seed.COURSES.keys() - without:
        assert part[f"{name}/whole, extrapolated from 12 steps"]["median"] > 0
        assert part[f"{name}/step"]["n"] == 2  # the rows after 6 and 10 of 12 iterations
    assert part["one_seed/bf16/whole, extrapolated from 12 steps"]["target"] == "at most 8.5"
    assert "target" not in part["two_seeds/tf32/whole, extrapolated from 12 steps"]
    assert part["second_seed_over_first, extrapolated"]["target"] == "at most 1"
    assert not any(name.startswith(tuple(without)) for name in part)


def test_a_run_that_fails_gives_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="not all arms"):
        gpu_seed.side_by_side(gpu_seed.arms(*small.ARMS), str(tmp_path / "absent"), small.CPU)
    assert capsys.readouterr().err.startswith("error: ")


def course() -> Course:
    """Of 3,000 iterations: 5 s to the first steps, 1 s for 100 of them, 3 s more for an evaluation
    and 8 s more for the last one.
    """
    rows = [1.0 + 3.0 * (row % 10 == 0) + 5.0 * (row == 30) for row in range(1, 31)]
    return Course(list(itertools.accumulate([5.0, *rows])), 10**10)


def test_the_whole_is_what_its_parts_take() -> None:
    cfg = make_config(preset="paper")
    assert gpu_seed.steps_s(course(), cfg) == pytest.approx([0.01] * 26)
    steps, usual, whole = 640 * 1.0, 56 * 3.0, 8 * 8.0
    assert gpu_seed.extrapolated_s(course(), cfg) == pytest.approx([5 + steps + usual + whole])


def test_numbers_of_a_seed_by_hand() -> None:
    configs = gpu_seed.arms("seed=0", "trainer.precision=bf16")
    part = gpu_seed.numbers(course(), configs, 4.3e12)
    assert part["start"]["median"] == 5
    assert part["step"]["median"] == 10
    whole = part["whole, extrapolated from 3000 steps"]
    assert whole["median"] == pytest.approx(877 / 60, abs=1e-3)
    assert (whole["met"], whole["stretch"], whole["stretch_met"]) == (False, "at most 4", False)
    beside = part["evaluations and records, extrapolated"]["median"]
    assert beside == pytest.approx((56 * 3 + 8 * 8) / 60, abs=1e-3)
    moved = 2 * sum(traffic.step_bytes(depth) for depth in (18, 34, 56, 110))
    assert part["floor"]["median"] == pytest.approx(64_000 * moved / 4.3e12, abs=1e-3)
    assert part["achieved"]["median"] == pytest.approx(moved / 0.01 / 1e12, abs=1e-3)
    assert part["extrapolated whole_over_floor"]["median"] == pytest.approx(877 / 111.9, abs=0.01)


def test_the_fastest_is_that_of_one_seed_in_tf32() -> None:
    assert gpu_seed.fastest({}, "H200") == ("library", None)
    minutes = {
        "one_seed/tf32": 7.0, "one_seed/tf32/fused": 5.5, "one_seed/tf32/native": 6.0,
        "one_seed/bf16": 4.0, "two_seeds/tf32": 3.0,
    }  # fmt: skip
    part = {f"{name}/{gpu_seed.whole()}": {"median": value} for name, value in minutes.items()}
    measured_on: dict[str, Any] = {"environment": {"device": "H200"}}
    assert gpu_seed.fastest(measured_on | part, "H200") == ("fused", 5.5)
    assert gpu_seed.fastest(measured_on | dict([*part.items()][:1]), "H200") == ("library", 7.0)
    assert gpu_seed.fastest(measured_on | part, "A100") == ("library", None)


def test_memory_is_told_where_there_is_a_device_for_it() -> None:
    assert gpu_seed.memory(course(), torch.device("cpu"), 24.0) == {}
