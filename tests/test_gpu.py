"""What only a CUDA machine can show; `make test-gpu`."""

import dataclasses
import math
import signal
from pathlib import Path

import pytest
import torch
from tests.helpers import (
    TINY,
    call,
    iterations,
    lines_of,
    make_config,
    noise_images,
    only_run,
    same_run,
    start,
    wait_for,
    weights,
    without_times,
)

from degradation import checkpoint, environment
from degradation.begin import fresh_state, load_data
from degradation.benchmark import startup
from degradation.config import Config
from degradation.data.batches import Data, prepare, train_batches
from degradation.loop import State, train
from degradation.step import CapturedStep, EagerStep, build_step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
RUN = ("data=shapes", "tracking=off", *TINY)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_run_finishes_with_finite_numbers(tmp_path: Path, precision: str) -> None:
    root = f"output_root={tmp_path}"
    assert call(*RUN, "hardware=cuda", f"trainer.precision={precision}", root) == 0
    rows = lines_of(only_run(tmp_path))
    assert rows[-1]["iteration"] == 20
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_first_steps_are_those_of_the_cpu(tmp_path: Path) -> None:
    runs = {}
    for device in ("cpu", "cuda"):
        root = tmp_path / device
        assert call(*RUN, f"hardware={device}", "optim.lr=0.01", f"output_root={root}") == 0
        runs[device] = only_run(root)
    losses = {device: lines_of(run)[0]["train/loss"] for device, run in runs.items()}
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)
    cpu, cuda = weights(runs["cpu"]), weights(runs["cuda"])
    assert cpu.keys() == cuda.keys()
    torch.testing.assert_close(cuda["stem.0.weight"], cpu["stem.0.weight"], rtol=0.05, atol=0.01)


# captured against eager


CUDA = torch.device("cuda")
PRECISIONS = ("fp32", "tf32", "bf16")


def paper(depth: int, precision: str) -> Config:
    return make_config(f"model.depth={depth}", f"trainer.precision={precision}", preset="paper")


def begun(cfg: Config, capture: bool) -> tuple[State, EagerStep]:
    environment.set_up(cfg.hardware, cfg.trainer)
    state = fresh_state(cfg, CUDA)
    state.model.train()
    hardware = dataclasses.replace(cfg.hardware, capture=capture)
    return state, build_step(state.model, state.optimizer, cfg.trainer.precision, hardware)


def data_for(cfg: Config) -> Data:
    return prepare(noise_images(train=1024), cfg.data, CUDA)


def everything(state: State) -> dict[str, torch.Tensor]:
    momentum = [s["momentum_buffer"] for s in state.optimizer.state_dict()["state"].values()]
    return state.model.state_dict() | {f"momentum.{i}": m for i, m in enumerate(momentum)}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("depth", [20, 56])
def test_captured_step_is_the_eager_step(depth: int, precision: str) -> None:
    """Step for step, and bit for bit: with fixed algorithms both run the same kernels. The rate
    changes on the way, which a frozen one would not follow.
    """
    cfg = paper(depth, precision)
    data = data_for(cfg)
    (eager_state, eager), (captured_state, captured) = (begun(cfg, c) for c in (False, True))
    assert type(eager) is EagerStep
    assert type(captured) is CapturedStep
    rates = [0.1] * 4 + [0.01] * 4
    batches = train_batches(data, seed=0, first=0, last=8, batch_size=128)
    for lr, batch in zip(rates, batches, strict=True):
        eager(*batch, lr)
        captured(*batch, lr)
        assert captured.read() == eager.read()
    ours, theirs = everything(captured_state), everything(eager_state)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


def test_capture_leaves_no_trace_of_its_own_steps() -> None:
    cfg = paper(20, "tf32")
    state, step = begun(cfg, capture=True)
    before = {key: value.clone() for key, value in state.model.state_dict().items()}
    images, labels = next(train_batches(data_for(cfg), 0, 0, 1, 128))
    step(images, labels, 0.0)  # a rate of 0: only the statistics move, and by one step
    for key, value in state.model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            assert value == 1, key
        elif "running" not in key:
            assert torch.equal(value, before[key]), key
    loss, _ = step.read()
    assert loss == pytest.approx(math.log(10), rel=0.5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_run_with_and_without_capture_is_one_run(tmp_path: Path, precision: str) -> None:
    for capture in ("true", "false"):
        extra = (f"hardware.capture={capture}", f"trainer.precision={precision}")
        assert call(*RUN, "hardware.device=cuda", *extra, f"output_root={tmp_path / capture}") == 0
    same_run(only_run(tmp_path / "true"), only_run(tmp_path / "false"))


VARIANTS = {
    "any_algorithm": ("trainer.deterministic=false",),
    "groups": ("model.bn_group_size=24",),
    "pre_activation": ("model.order=pre", "model.shortcut=C"),
    "projections": ("model.shortcut=B", "model.activation=prelu_shared"),
    "no_batch_norm": ("model.batch_norm=false", "optim.lr=0.01"),
    "no_momentum": ("optim.momentum=0", "optim.weight_decay=0"),
    "adam": ("optim.name=adam", "optim.lr=0.001"),
    "mlp": ("model.net=mlp", "model.width=32", "optim.lr=0.01"),
    "stack": ("model.net=stack", "data=uniform", "data.pixels=4", "data.augment=false"),
    "grown": ("model.depth=14", "model.grown_from=8"),
    "checkpointed": ("model.depth=20", "hardware.checkpoint_activations=true"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_whatever_can_be_trained_can_be_captured(tmp_path: Path, name: str) -> None:
    """The nets and optimizers beside the usual ones, captured where they are, against eager."""
    for capture in ("true", "false"):
        extra = (f"hardware.capture={capture}", f"output_root={tmp_path / capture}")
        assert call(*RUN, "hardware.device=cuda", *VARIANTS[name], *extra) == 0
    ours, theirs = (only_run(tmp_path / capture) for capture in ("true", "false"))
    assert lines_of(ours)[-1]["iteration"] == 20
    if name != "any_algorithm":  # tried out for each, so perhaps not the same one
        same_run(ours, theirs)


ALL_PROBES = ("gradients", "responses", "shattering", "identity", "lesion")


def test_probes_leave_a_captured_run_as_it_is_and_measure_what_they_do_on_a_cpu(
    tmp_path: Path,
) -> None:
    probes = (f"trainer.probes=[{','.join(ALL_PROBES)}]", "trainer.probe_every=10")
    rows = {}
    for name, extra in {
        "cuda": ("hardware=cuda", *probes),
        "unprobed": ("hardware=cuda",),
        "cpu": ("hardware=cpu", *probes),
    }.items():
        assert call(*RUN, "optim.lr=0.01", *extra, f"output_root={tmp_path / name}") == 0
        rows[name] = lines_of(only_run(tmp_path / name))
    probed, unprobed = (weights(only_run(tmp_path / name)) for name in ("cuda", "unprobed"))
    assert all(torch.equal(probed[key], value) for key, value in unprobed.items())
    assert rows["cuda"][0].keys() == rows["cpu"][0].keys()
    for key, value in rows["cpu"][0].items():
        within = 2.0 if "lesion" in key else 0.02  # in percent: ten of 500 images
        assert rows["cuda"][0][key] == pytest.approx(value, rel=0.05, abs=within), key


def test_captured_run_continues_where_it_was(tmp_path: Path) -> None:
    """From a checkpoint, with a capture anew on top of it."""
    cfg = make_config(*TINY, "data.name=shapes")
    data, path = load_data(cfg.data, CUDA), tmp_path / checkpoint.CHECKPOINT
    whole, first, second = (begun(cfg, capture=False)[0] for _ in range(3))
    rows = [row for row in train(whole, data, cfg) if row]
    next(row for row in train(first, data, cfg) if row and first.iteration == 10)
    checkpoint.save(path, first.model, first.optimizer, first.progress(), "ahash")
    second.continue_from(checkpoint.load(path, second.model, second.optimizer, "ahash"))
    rest = [row for row in train(second, data, cfg) if row]
    assert without_times(rest) == without_times(rows[2:])
    ours, theirs = everything(second), everything(whole)
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_checkpointed_steps_are_eager_and_nearly_the_same(precision: str) -> None:
    """Nearly: nothing says that a kernel rounds alike when its work is done again in pieces."""
    steps, states = [], []
    for option in (False, True):
        cfg = paper(56, precision)
        cfg.hardware.checkpoint_activations = option
        environment.set_up(cfg.hardware, cfg.trainer)
        state = fresh_state(cfg, CUDA)
        state.model.train()
        step = build_step(state.model, state.optimizer, precision, cfg.hardware)
        for batch in train_batches(data_for(cfg), seed=0, first=0, last=2, batch_size=128):
            step(*batch, 0.01)
        steps.append(step)
        states.append(state)
    assert [type(step) for step in steps] == [CapturedStep, EagerStep]
    assert steps[1].read() == pytest.approx(steps[0].read(), rel=1e-2)
    counts = [
        {key: int(value) for key, value in everything(state).items() if key.endswith("tracked")}
        for state in states
    ]
    assert counts[0] == counts[1]
    assert set(counts[1].values()) == {2}


# the fleet


def same_in_a_fleet(folder: Path, preset: str, *sweep: str) -> int:
    """How many runs the sweep has; each is in a fleet what it is alone."""
    command = ("-m", f"preset={preset}", *sweep)
    assert call(*command, f"output_root={folder / 'alone'}") == 0
    assert call(*command, "hydra/launcher=fleet", f"output_root={folder / 'fleet'}") == 0
    alone = list((folder / f"alone/adhoc/{preset}/runs").iterdir())
    for run_dir in alone:
        same_run(folder / f"fleet/adhoc/{preset}/runs" / run_dir.name, run_dir)
    return len(alone)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_fleet_leaves_the_records_of_its_runs_alone(tmp_path: Path, precision: str) -> None:
    axes = ("model.kind=plain,residual", "model.depth=8,20", "seed=0,1")
    assert same_in_a_fleet(tmp_path, "quick", *RUN, *axes, f"trainer.precision={precision}") == 8


@pytest.mark.parametrize(
    ("precision", "kernels"),
    [("tf32", "library"), ("bf16", "library"), ("tf32", "native"), ("tf32", "fused")],
)
def test_nets_of_full_size_do_not_get_into_each_others_way(
    tmp_path: Path, precision: str, kernels: str
) -> None:
    """Large enough that the runs' kernels are on the GPU at the same time."""
    length = ("schedule.iterations=60", "schedule.milestones=[40]", "trainer.record_every=20")
    looks = tuple(f"trainer.{key}_every=0" for key in ("eval", "full_eval", "checkpoint"))
    axes = ("model.kind=plain,residual", "model.depth=56", "seed=0,1,2")
    how = (f"trainer.precision={precision}", f"hardware.batch_norm_kernels={kernels}")
    run = ("data=shapes", "tracking=off", *length, *looks, *how)
    assert same_in_a_fleet(tmp_path, "paper", *run, *axes) == 6


def test_interrupted_fleet_continues_as_if_it_had_not_been(tmp_path: Path) -> None:
    length = ("schedule.iterations=4000", "schedule.milestones=[3000]", "trainer.record_every=20")
    looks = tuple(f"trainer.{key}_every=2000" for key in ("eval", "full_eval", "checkpoint"))
    sweep = ("-m", *RUN, *length, *looks, "hardware.device=cuda", "seed=0,1,2,3")
    fleet = [*sweep, "hydra/launcher=fleet"]
    process = start(fleet, tmp_path, preexec_fn=startup.obey_interrupts)
    runs = tmp_path / "outputs/adhoc/quick/runs"

    def is_under_way() -> bool:
        reached = iterations(tmp_path)
        return len(reached) == 4 and min(reached.values()) >= 200

    wait_for(is_under_way, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; the same command continues\n" in err
    assert "Traceback" not in err
    assert max(iterations(tmp_path).values()) < 4000
    assert call(*fleet, f"output_root={tmp_path / 'outputs'}") == 0
    assert call(*sweep, f"output_root={tmp_path / 'alone'}") == 0
    for run_dir in runs.iterdir():
        same_run(run_dir, tmp_path / "alone/adhoc/quick/runs" / run_dir.name)
