"""The GPU benchmark's contestants and numbers, as far as a CPU can show them."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.benchmark import small
from tests.helpers import noise_data, noise_images, tiny_config

from degradation.benchmark import contestants, gpu, results, traffic
from degradation.benchmark.throughput import paper
from degradation.data.batches import prepare

NAMES = (
    "usual",
    "eager",
    "compiled",
    "captured",
    "captured_any_algorithm",
    "captured_tf32",
    *gpu.FLEETS,
)


def test_all_of_it_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a GPU would do, but for the graphs; and a contestant that cannot begin is left out."""
    small.shrink(monkeypatch, gpu)
    monkeypatch.setattr(gpu, "FLEET", 2)
    first, last = gpu.measure(8, ".", small.CPU)
    told = capsys.readouterr().out
    assert "compiled is left out: RuntimeError: no compiler\n" in told
    without = {"compiled"} | {name for name in NAMES if name.endswith("fused")}  # Triton's
    assert all(f"{name} is left out: " in told for name in without)
    steps = [name for name in last if name.endswith("/step")]
    assert steps == [f"resnet8/{name}/step" for name in NAMES if name not in without]
    assert [part["resnet8/captured/step"]["n"] for part in (first, last)] == [1, 2]
    assert last["resnet8/fleet_over_usual, extrapolated from 2 steps"]["n"] == 2
    assert len(list(results.lines(last))) == len(last)


def test_the_contestants_begin_only_when_told(tmp_path: Path) -> None:
    data = prepare(noise_images(), paper(8, "bf16").data, torch.device("cpu"))
    assert tuple(gpu.contestants(8, data, tmp_path, every=1)) == NAMES


def test_the_contestants_are_what_they_are_called(tmp_path: Path) -> None:
    data = prepare(noise_images(), paper(8, "bf16").data, torch.device("cpu"))
    told = {
        name: run.args[0]  # type: ignore[attr-defined]
        for name, run in gpu.contestants(8, data, tmp_path, every=1).items()
        if not name.startswith(("usual", "fleet"))
    }
    assert {
        name: (cfg.hardware.capture, cfg.trainer.deterministic, cfg.trainer.precision)
        for name, cfg in told.items()
    } == {
        "eager": (False, False, "bf16"),
        "compiled": (False, False, "bf16"),
        "captured": (True, True, "bf16"),
        "captured_any_algorithm": (True, False, "bf16"),
        "captured_tf32": (True, True, "tf32"),
    }


def test_the_fleet_takes_the_steps_of_each_of_its_runs() -> None:
    configs = [tiny_config(f"seed={seed}") for seed in (0, 1)]
    turns = contestants.fleet_turns(configs, noise_data(configs[0]))
    assert len(list(itertools.islice(turns, 4))) == 4  # 20 iterations, a row each 5
    with pytest.raises(RuntimeError):  # StopIteration: the runs have ended
        next(turns)


def test_who_does_not_begin_in_time_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contestants, "START_S", 0.05)

    def slow() -> Iterator[None]:
        time.sleep(60)
        yield

    def quick() -> Iterator[None]:
        yield

    runs, seconds = contestants.begin({"slow": slow, "quick": quick})
    assert runs.keys() == seconds.keys() == {"quick"}
    assert capsys.readouterr().out == ("slow is left out: TimeoutError: not ready after 0.05 s\n")


def test_the_floor_counts_the_outputs_of_the_convs() -> None:
    """ResNet-20: 7 convs of 16 x 32 x 32, 6 of 32 x 16 x 16, 6 of 64 x 8 x 8."""
    outputs = 7 * 16 * 32 * 32 + 6 * 32 * 16 * 16 + 6 * 64 * 8 * 8
    assert traffic.step_bytes(20) == 7 * outputs * 128 * 2
    assert traffic.step_bytes(20, "tf32") == 2 * traffic.step_bytes(20)


def test_the_floor_of_a_seed_is_two_minutes_of_copying() -> None:
    """About 111 s at 4.3 TB/s was the estimate."""
    a_step = 2 * sum(traffic.step_bytes(depth) for depth in (18, 34, 56, 110))
    assert a_step * 64_000 / 4.3e12 == pytest.approx(111, rel=0.01)


def test_numbers_are_steps_ratios_and_targets() -> None:
    names = ("usual", "eager", "compiled", "captured", "fleet")
    rates = dict(zip(names, (1e3, 1e4, 5e4, 128_000.0, 256_000.0), strict=True))
    part = gpu.numbers(20, {name: [rate, rate] for name, rate in rates.items()}, 4e12)
    assert part["captured/step"]["median"] == 1.0
    assert part["captured/step"]["met"]
    assert part["fleet/step"]["median"] == 0.5
    ratio = part["fleet_over_compiled"]
    assert (ratio["median"], ratio["met"], ratio["stretch_met"]) == (5.12, True, True)
    assert part["fleet_over_usual, extrapolated from 200 steps"]["median"] == 256
    moved = traffic.step_bytes(20)  # in a millisecond
    assert part["captured/achieved"]["median"] == pytest.approx(moved / 1e9, abs=1e-3)
    assert part["captured_over_floor"]["median"] == pytest.approx(4e9 / moved, rel=1e-3)


def test_what_a_start_takes_is_the_first_turn_without_its_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a step a millisecond; of a fleet each net has its steps."""
    monkeypatch.setattr(gpu, "FLEET", 8)
    rates = {"captured": [128_000.0], "fleet": [128_000.0]}
    part = gpu.starts({"captured": 2.1, "fleet": 2.8}, rates)
    assert {name: number["median"] for name, number in part.items()} == {
        "captured/start": 2.0, "fleet/start": 2.0,
    }  # fmt: skip


def test_the_usual_script_takes_its_steps(
    cifar10_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contestants, "WORKERS", 0)
    run = gpu.contestants(8, small.data(), cifar10_root, every=1)["usual"]()
    assert next(run) is None
