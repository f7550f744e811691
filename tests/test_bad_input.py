"""Whatever a user gets wrong: one line, a non-zero exit, and nothing that was there is touched."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.helpers import TINY, call, command, only_run, snapshot

from degradation import begin, checkpoint, config, records, train

RUN = ("data=shapes", "tracking=off", *TINY)
BATCHES = "cifar-10-batches-py"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run below `outputs`."""
    folder = tmp_path_factory.mktemp("study")
    assert call(*RUN, f"output_root={folder}/outputs") == 0
    return folder


@pytest.fixture
def here(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a copy of the finished run that may be spoilt."""
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def unfinished(here: Path) -> Path:
    """The run as a kill after its last checkpoint leaves it."""
    run_dir = only_run(here / "outputs")
    (run_dir / "summary.json").unlink()
    return run_dir


@pytest.fixture
def refused(here: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which must fail in one line and change nothing, and returns the line."""

    def fail(*arguments: str) -> str:
        capfd.readouterr()
        before = snapshot(here)
        status = call(*arguments)
        out, err = capfd.readouterr()
        assert status == 2
        assert out == ""
        assert re.fullmatch(r"error: [^\n]+\n", err)
        assert snapshot(here) == before
        return err.removeprefix("error: ").rstrip("\n")

    return fail


WRONG = [
    ("model.dept=18", "model.dept: no such key; accepted: .*model.depth"),
    ("modle.depth=18", "modle.depth: no such key; accepted: .*model.depth"),
    ("depth=18", "depth: no such key; accepted: .*model.depth"),
    ("+depth=18", "depth: no such key; accepted: .*model.depth"),
    ("+model.dept=18", "model.dept: no such key; accepted: .*model.depth"),
    ("preset=quik", "preset: 'quik'; accepted: .*quick"),
    ("preset=", "preset: ''; accepted: .*quick"),
    ("preset=null", ".*Got NoneType"),
    ("+experiment=depth_swep", "experiment: 'depth_swep'; accepted: .*depth_sweep, "),
    ("hydra/launcher=pol", "hydra/launcher: 'pol'; accepted: .*pool"),
    ("model.depth=deep", "model.depth: 'deep'; accepted: integer"),
    ("model.depth=", "model.depth: ''; accepted: integer"),
    ("model.depth=18.5", "model.depth: '18.5'; accepted: integer"),
    ("model.kind=null", "model.kind: .*not Optional"),
    ("optim.lr=fast", "optim.lr: 'fast'; accepted: float"),
    ("data.augment=maybe", "data.augment: .*'maybe' is not a valid bool"),
    ("schedule.milestones=5", "schedule.milestones: .*list"),
    ("schedule.milestones=[a]", r"schedule.milestones\[0\]: 'a'; accepted: integer"),
    ("model.depth=[", r"model.depth=\[: "),
    ("model.depth", "model.depth: no override; accepted: key=value; of a sweep key=a,b"),
    ("seed=range(0,5", r"seed=range\(0,5: no override; accepted: .*'key=range\(0,5\)'"),
    ("data.root=~/cifar", "data.root=~/cifar: no override; accepted: .*folders in full"),
    ("model.d\u2028epth=18", "model.d epth=18: no override; accepted: "),
    ("seed=0,1", "seed: '0,1'; accepted: one value; several with -m in front"),
    ("model.kind=\"Could not load 'a/b'\"", 'model.kind: "Could not load .*; accepted: plain, res'),
    ("optim.momentum=inf", "optim.momentum: inf; accepted: a finite number"),
    ("trainer.probes=lesion", r"trainer.probes: one value; accepted: a list, 'trainer.probes=\["),
    ("+variant=[plain,relu]", "variant: 'relu'; accepted: .*prelu"),
    ("model.depth=7", "model.depth: 7; accepted: even numbers from 8"),
    ("model.kind=dense", "model.kind: 'dense'; accepted: plain, residual"),
    ("model.width=-1", "model.width: -1; accepted: 1 or more"),
    ("schedule.milestones=[9,4]", r"schedule.milestones: \[9, 4\]; accepted: .*ascending"),
    ("trainer.batch_size=300", "trainer.batch_size: 300; accepted: at most the training images"),
    ("seed=-1", "seed: -1; accepted: 0 or more"),
    ("experiment=depth_sweep", r"experiment: is added, .*accepted: \+experiment="),
]


@pytest.mark.parametrize(("override", "line"), WRONG, ids=[override for override, _ in WRONG])
def test_wrong_override(refused: Callable[..., str], override: str, line: str) -> None:
    assert re.match(line, refused(*RUN, override))


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("model.dept=18,20", "model.dept: no such key; accepted: .*model.depth"),
        ("model.depth=7", "model.depth: 7; accepted: even numbers from 8"),
        ("model.depth=[", r"model.depth=\[: "),
        ("preset=quik", "preset: 'quik'; accepted: .*quick"),
    ],
)
def test_wrong_override_in_a_multirun(
    here: Path, capfd: pytest.CaptureFixture[str], override: str, line: str
) -> None:
    before = snapshot(here / "outputs/adhoc/quick/runs")
    assert call("-m", *RUN, "seed=0,1", override) == 2
    out, err = capfd.readouterr()
    assert out == ""
    # a line for each of the runs, and at the end Hydra's, which names the first one
    hydras = "Error executing job with overrides: "
    assert re.fullmatch(rf"(error: {line}[^\n]*\n)+({hydras}[^\n]*\n)?", err)
    assert snapshot(here / "outputs/adhoc/quick/runs") == before


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_device_that_is_not_there(refused: Callable[..., str], device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    line = refused(*RUN, f"hardware.device={device}", "seed=1")
    assert line.startswith(f"hardware.device: '{device}' is not on this machine; accepted: auto, ")


def test_online_without_a_key(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB")] + ["NETRC"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(here))
    line = refused(*RUN, "tracking=online", "seed=1")
    assert line.startswith("tracking.mode: ")
    assert "WANDB_API_KEY" in line
    assert len(list((here / "outputs").glob("*/*/runs/*"))) == 1  # not even an empty folder


@pytest.mark.parametrize("state", ["missing", "empty", "truncated", "altered"])
def test_data_root(
    refused: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    state: str,
) -> None:
    root = tmp_path_factory.mktemp("data")
    if state == "missing":
        root = root / "nowhere"
    elif state != "empty":
        genuine = request.getfixturevalue("cifar10_root") / BATCHES
        (root / BATCHES).mkdir()
        for path in genuine.iterdir():
            (root / BATCHES / path.name).symlink_to(path)
        spoilt = root / BATCHES / "data_batch_3"
        content = bytearray(spoilt.read_bytes())
        content[20_000_000] ^= 1
        spoilt.unlink()
        spoilt.write_bytes(content[:-1] if state == "truncated" else content)
    line = refused("tracking=off", *TINY, f"data.root={root}")
    assert str(root) in line
    expected = {
        "missing": "no such folder",
        "empty": "holds neither",
        "truncated": "bytes, expected 31,035,999",
        "altered": "SHA-256",
    }
    assert expected[state] in line


@pytest.mark.parametrize("place", ["a_file", "a_file/below", "/proc/nowhere"])
def test_output_root_that_cannot_be_written(
    refused: Callable[..., str], here: Path, place: str
) -> None:
    (here / "a_file").write_text("mine")
    assert place in refused(*RUN, f"output_root={place}")


@pytest.mark.parametrize("finished", [True, False])
def test_run_directory_of_another_config(
    refused: Callable[..., str], here: Path, finished: bool
) -> None:
    """As when the preset was edited after the runs were made: same name, other numbers."""
    run_dir = only_run(here / "outputs")
    if not finished:
        (run_dir / "summary.json").unlink()
    config = (run_dir / "config.yaml").read_text()
    (run_dir / "config.yaml").write_text(
        config.replace("momentum: 0.9", "momentum: 0.8").replace("order: post", "order: pre")
    )
    line = refused(*RUN)
    assert line.startswith("outputs/adhoc/quick/runs/residual-8-")
    assert "model.order: post / pre; optim.momentum: 0.9 / 0.8" in line


@pytest.mark.parametrize("damage", ["cut", "random", "altered", "other config"])
def test_damaged_checkpoint(refused: Callable[..., str], unfinished: Path, damage: str) -> None:
    path = unfinished / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "random":
        content = bytearray(os.urandom(5_000))
    elif damage == "altered":
        content[len(content) // 2] ^= 1
    else:
        cfg = config.from_dict(records.read_config(unfinished) or {})
        state = begin.fresh_state(cfg, torch.device("cpu"))
        checkpoint.save(path, state.model, state.optimizer, state.progress(), "ffffffff")
        (unfinished / "checkpoint.previous.pt").unlink()
        content = bytearray(path.read_bytes())
    path.write_bytes(content)
    line = refused(*RUN)
    assert "checkpoint.pt: " in line
    assert ("made by config ffffffff" in line) == (damage == "other config")


def test_checkpoint_without_its_record(refused: Callable[..., str], unfinished: Path) -> None:
    metrics = unfinished / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:2]))
    assert "no line for iteration 20" in refused(*RUN)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", "{}\n"),
        ("config.yaml", "- 1"),
        ("summary.json", "{"),
        ("environment.json", '{"earlier": 3}'),
    ],
)
def test_damaged_record(
    refused: Callable[..., str], unfinished: Path, name: str, content: str
) -> None:
    (unfinished / name).write_text(content)
    assert f"/{name}: " in refused(*RUN)


def test_a_net_larger_than_memory(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its second conv would have 36 TB of weights."""
    assert call(*RUN, "model.width=1000000") == 2
    err = capfd.readouterr().err
    assert re.fullmatch(r"error: \S+-width1000000-\S+-s0: can't allocate memory: [^\n]+\n", err)
    assert "hydra.launcher.side_by_side" in err


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139.81 "
            "GiB of which 3.06 MiB is free.",
            "CUDA out of memory. Tried to allocate 20.00 MiB",
        ),
        (
            "MPS backend out of memory (MPS allocated: 8.00 GiB, other allocations: 1.00 GiB, max "
            "allowed: 9.07 GiB). Tried to allocate 10.00 MiB on private pool.",
            "Tried to allocate 10.00 MiB",
        ),
        ("CUDA error: out of memory\nCUDA kernel errors might be", "CUDA error: out of memory"),
    ],
)
def test_a_gpus_memory_that_is_full(
    told: str,
    shown: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What PyTorch 2.11 says then; there is no GPU to fill."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError(told)

    monkeypatch.setattr(train, "fresh_state", full)
    assert call(*RUN, "seed=1") == 2
    err = capfd.readouterr().err
    assert re.fullmatch(r"error: \S+-s1: [^\n]+; what takes less: [^\n]+\n", err)
    assert f"{shown}; what takes" in err


def test_full_disk(here: Path) -> None:
    """No file may grow beyond 2 kB, as on a disk that fills up in the middle of a run."""

    def small_files() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    finished = only_run(here / "outputs")
    before = snapshot(finished)
    more = ("seed=1", "schedule.iterations=200", "trainer.checkpoint_every=0")
    status, _, err = command([*RUN, *more], here, preexec_fn=small_files)
    assert status == 2
    assert re.fullmatch(r"error: \[Errno 27\] [^\n]*metrics.jsonl'\n", err)
    assert snapshot(finished) == before
    status, _, err = command([*RUN, *more], here)
    assert (status, err) == (0, "")


def test_traceback_for_those_who_ask(here: Path) -> None:
    status, _, err = command([*RUN, "model.depth=7"], here, full_error=True)
    assert status == 1
    assert "Traceback" in err
    assert err.rstrip().endswith("ConfigError: model.depth: 7; accepted: even numbers from 8")
