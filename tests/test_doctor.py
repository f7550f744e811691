"""`make doctor`: a broken machine is a line on the page, a state and an exit status."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from tests.helpers import make_config, noise_data, snapshot, tiny_config
from tests.small_study import ROOT, environment, make_checkout
from torch import nn

from degradation import cli, train
from degradation.config import Config, ModelConfig
from degradation.doctor import cluster, machine, memory, need, versions
from degradation.doctor.__main__ import examine
from degradation.doctor.plan import Asked, planned
from degradation.nets import build_model
from degradation.tracking import uploads

RUNS = ["plain-8-s0", "plain-8-s1", "residual-8-s0", "residual-8-s1"]
STUDY = Path("outputs", "small_shapes", "quick")
BATCHES = "cifar-10-batches-py"
KEY = "0123456789abcdef" * 3
Page = dict[str, list[tuple[str, str]]]
"""Subject -> state and text of its lines."""


def page_of(text: str) -> Page:
    page: Page = {}
    for line in text.splitlines()[:-1]:
        found = re.fullmatch(r"(ok|note|problem) +([^:]+): (.+)", line)
        assert found, line
        page.setdefault(found[2], []).append((found[1], found[3]))
    return page


def problems(page: Page) -> list[str]:
    return [text for lines in page.values() for state, text in lines if state == "problem"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout in which the small study's first run was left at iteration 10 of 20, the second
    has ended, the others have not begun.
    """
    planned.cache_clear()
    checkout = make_checkout(tmp_path_factory.mktemp("doctor"), iterations=20)
    with pytest.MonkeyPatch.context() as patch:
        inside(checkout, patch)
        runs = list(planned(Asked("small_shapes", "quick"))[0].values())
        left = turns_of(runs[0])
        next(left), next(left)
        left.close()
        for _ in turns_of(runs[1]):
            pass
    yield checkout
    planned.cache_clear()


def inside(checkout: Path, patch: pytest.MonkeyPatch) -> None:
    """As a command started there would find things: its conf, no cached data, no key. The studies
    are the same in each, so that a plan is made once.
    """
    patch.setattr(cli, "conf_dir", lambda: checkout / "conf")
    patch.chdir(checkout)
    patch.setenv("DEGRADATION_CACHE", str(checkout / "cache"))
    patch.setenv("HOME", str(checkout))
    for name in [name for name in os.environ if name.startswith("WANDB")] + ["NETRC"]:
        patch.delenv(name, raising=False)


def turns_of(cfg: Config) -> train.Turns:
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        return train.in_turns(cfg, cli.baseline(cfg), load=lambda *_: noise_data(cfg))


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout, with records that may be spoilt."""
    (tmp_path / "checkout").mkdir()
    checkout = make_checkout(tmp_path / "checkout", iterations=20)
    shutil.copytree(made / "outputs", checkout / "outputs")
    inside(checkout, monkeypatch)
    return checkout


@pytest.fixture
def doctor(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Page]]:
    """Exit status and page; whatever it finds, it changes nothing."""

    def look(
        *overrides: str, experiment: str = "small_shapes", preset: str = "quick", root: str = ""
    ) -> tuple[int, Page]:
        capsys.readouterr()
        before = snapshot(here)
        status = examine(Asked(experiment, preset, "", root, overrides))
        assert snapshot(here) == before
        out, err = capsys.readouterr()
        assert err == ""
        assert ("could start now" in out.splitlines()[-1]) == (status == 0)
        page = page_of(out)
        assert status == (1 if problems(page) else 0)
        return status, page

    return look


Doctor = Callable[..., tuple[int, Page]]


def test_a_machine_on_which_the_study_could_start(doctor: Doctor) -> None:
    status, page = doctor()
    assert status == 0
    assert page["Python"][0][1].startswith(f"{sys.version.split()[0]}, ")
    assert f"torch {torch.__version__.partition('+')[0]}, torchvision " in page["packages"][0][1]
    assert "fp32 yes" in page["precision"][0][1]
    assert page["shapes"] == [("ok", "made here, no files needed")]
    assert page["outputs"] == [("ok", f"{STUDY} can be written")]
    assert "3 runs x 3 checkpoints of up to" in page["disk"][0][1]
    assert page["runs"] == [
        ("ok", f"{STUDY}: 1 of 4 ended, 1 unfinished, which go on: plain-8-s0 at 10 of 20")
    ]
    assert page["W&B"] == [("ok", "off (tracking.mode=off), no key here, records only")]


AUDIT = """
import runpy, sys
CHANGES = {f"os.{name}" for name in "mkdir rename remove rmdir link symlink truncate".split()}
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.send")
def watch(event, arguments):
    if event in CHANGES or event.startswith(NETWORK):
        print("DID", event, arguments, file=sys.stderr)
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & 0o3 \\
            and not arguments[0].startswith("/dev/"):
        print("WROTE", arguments, file=sys.stderr)
    if event == "subprocess.Popen" and arguments[1][0] not in ("git", "nvidia-smi"):
        print("STARTED", arguments, file=sys.stderr)
sys.addaudithook(watch)
sys.argv = ["degradation-doctor", *sys.argv[1:]]
runpy.run_module("degradation.doctor", run_name="__main__")
"""


def command(here: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """The real command, watched by Python itself: what it opens to write, connects to or starts."""
    return subprocess.run(
        [sys.executable, "-B", "-c", AUDIT, *arguments],
        cwd=here,
        env=environment(here, **extra),
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_writes_connects_and_starts_nothing(here: Path, cifar10_root: Path) -> None:
    """Nor does it stumble over a name that is no text."""
    copy = os.fsdecode(os.fsencode(here / STUDY / "runs") + b"/\xff-s0")
    shutil.copytree(here / STUDY / "runs" / RUNS[0], copy)
    before = snapshot(here)
    done = command(here, "--experiment=small", f"--data-root={cifar10_root}", WANDB_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert snapshot(here) == before
    assert r"\udcff-s0 at 10 of 20" in done.stdout
    assert KEY[:8] not in done.stdout
    assert "SHA-256 as it must be" in dict(page_of(done.stdout)["cifar10"])["ok"]


def test_a_key_is_told_of_and_never_shown(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    status, page = doctor("tracking.mode=online")
    assert status == 1
    assert page["W&B"][0][1].startswith(
        "tracking.mode: found 'online', but no Weights & Biases key"
    )
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    status, page = doctor("tracking.mode=online")
    assert page["W&B"][0][1].startswith("online (tracking.mode=online), a key is here, ")
    assert KEY[:8] not in str(page)


def test_offline_runs_that_were_not_uploaded(doctor: Doctor, here: Path) -> None:
    for name in ("offline-run-1", "offline-run-2", "offline-run-3"):
        folder = here / STUDY / "wandb" / name
        folder.mkdir(parents=True)
        (folder / f"run-{name}.wandb").write_bytes(bytes(4096))
    (folder / f"run-{name}.wandb.synced").touch()  # as `wandb sync` leaves it
    copy = here / STUDY / "wandb" / "offline-run-20260101_000000-of-plain-8"  # of `make mirror`
    copy.mkdir()
    uploads.write(here / STUDY, "plain-8", uploads.Note("of-plain-8", "", 4, True))
    status, page = doctor()
    assert status == 0
    found = "2 offline runs not uploaded, 8 KiB in outputs"
    advice = "make sync EXPERIMENT={} PRESET={}".format(*Path(STUDY).parts[-2:])
    assert page["W&B"][1] == ("note", f"{found} -> {advice}")


def test_no_data(doctor: Doctor, here: Path) -> None:
    """A folder that was named must hold them; the cache may be filled by the run."""
    (here / "empty").mkdir()
    for root, why in (("nowhere", "no such folder"), ("empty", f"holds neither {BATCHES}/")):
        status, page = doctor(experiment="small", root=str(here / root))
        assert status == 1
        assert why in page["cifar10"][0][1]
        assert problems(page) == [page["cifar10"][0][1]]
    status, page = doctor(experiment="small")
    assert (status, page["cifar10"][0][0]) == (0, "note")
    assert "not in the cache folder" in page["cifar10"][0][1]
    assert page["disk"][0][1].endswith(" and 353 MiB for the data")


@pytest.mark.parametrize("change", ["altered", "cut short", "none"])
def test_data_altered_by_one_byte(
    doctor: Doctor, tmp_path: Path, cifar10_root: Path, change: str
) -> None:
    root = tmp_path / "data" / BATCHES
    root.mkdir(parents=True)
    for path in (cifar10_root / BATCHES).iterdir():
        (root / path.name).symlink_to(path)
    content = bytearray((root / "test_batch").read_bytes())
    if change == "altered":
        content[20_000_000] ^= 1
    (root / "test_batch").unlink()
    (root / "test_batch").write_bytes(content[:-1] if change == "cut short" else content)
    status, page = doctor(experiment="small", root=str(root.parent))
    assert status == (change != "none")
    expected = {"altered": "test_batch: SHA-256", "cut short": "test_batch: 31,035,525 bytes"}
    assert expected.get(change, "every SHA-256 as it must be") in page["cifar10"][0][1]


def test_mnist_where_the_study_needs_it(doctor: Doctor, tmp_path: Path, mnist_root: Path) -> None:
    shutil.copytree(mnist_root / "MNIST", tmp_path / "MNIST")
    study = ("data=mnist", "data.pixels=28", "model.net=mlp", "data.augment=false")
    status, page = doctor(*study, root=str(tmp_path))
    assert (status, page["mnist"][0][0]) == (0, "ok")
    labels = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    labels.write_bytes(bytes([labels.read_bytes()[0] ^ 1]) + labels.read_bytes()[1:])
    status, page = doctor(*study, root=str(tmp_path))
    assert "t10k-labels-idx1-ubyte: SHA-256" in page["mnist"][0][1]


TMPFS = """
import subprocess, sys
from degradation.doctor.__main__ import examine
from degradation.doctor.plan import Asked
asked = Asked("small_shapes", "quick")
for option in ("size=200k", "remount,ro"):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", option, "none", "outputs"]).returncode:
        sys.exit(99)
    print("status", examine(asked))
"""


def test_a_small_disk_and_a_read_only_one(here: Path) -> None:
    """A file system of its own, seen by the command alone."""
    shutil.rmtree(here / "outputs")
    (here / "outputs").mkdir()
    done = subprocess.run(
        ["unshare", "-Urm", sys.executable, "-c", TMPFS],
        cwd=here,
        env=environment(here),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("no file system can be mounted here")
    small, readonly, rest = done.stdout.split("status 1\n")
    assert (done.returncode, done.stderr, rest) == (0, "", "")
    (problem,) = problems(page_of(small))
    assert problem.startswith(f"200 KiB free at {STUDY}, about ")
    (problem,) = problems(page_of(readonly))[:1]
    assert problem.startswith(f"{here / 'outputs'} is on a read-only file system")


def test_outputs_below_a_file(doctor: Doctor, here: Path) -> None:
    (here / "a_file").write_text("mine")
    status, page = doctor("output_root=a_file/below")
    assert status == 1
    assert page["outputs"][0][1].startswith(f"{here / 'a_file'} is not a folder")


def test_a_process_at_work(doctor: Doctor, made: Path) -> None:
    cfg = planned(Asked("small_shapes", "quick"))[0][RUNS[0]]
    turns = turns_of(cfg)
    next(turns)
    try:
        status, page = doctor()
    finally:
        turns.close()
    assert status == 0
    text = "plain-8-s0 at 15 of 20: a process is at work on it now"
    assert page["runs"][1][0] == "note"
    assert page["runs"][1][1].startswith(text)
    assert len(doctor()[1]["runs"]) == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no mapping": ("config.yaml", lambda path: path.write_text("- 1")),
    "no bytes of text": ("config.yaml", lambda path: path.write_bytes(b"\xff\xfe\x00")),
    "other config": (
        "config.yaml",
        lambda path: path.write_text(path.read_text().replace("momentum: 0.9", "momentum: 0.8")),
    ),
    "no schedule": ("config.yaml", lambda path: path.write_text("schedule: 5\n")),
    "foreign line": ("metrics.jsonl", lambda path: path.write_text("{}\n")),
    "lines lost": ("metrics.jsonl", cut),
    "a folder": ("metrics.jsonl", become_folder),
    "half a summary": ("summary.json", lambda path: path.write_text("{")),
    "empty summary": ("summary.json", lambda path: path.write_text('{"schema": 1}')),
    "no environment": ("environment.json", lambda path: path.write_text("[")),
    "half a checkpoint": ("checkpoint.pt", cut),
    "a bit of a checkpoint": ("checkpoint.pt", flip),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run(doctor: Doctor, here: Path, damage: str) -> None:
    """It would stop its own study, and no other."""
    name, spoil = DAMAGES[damage]
    spoil(here / STUDY / "runs" / RUNS[0] / name)
    status, page = doctor()
    assert status == 1
    (problem,) = problems(page)
    assert f"{STUDY}/runs/{RUNS[0]}" in problem
    assert "-> remove it or put it aside: the run starts again" in problem
    status, page = doctor(experiment="small", preset="quick")
    assert status == 0
    if damage != "other config":  # of which only its own study knows
        (note,) = (text for state, text in page["runs"] if state == "note")
        assert f"{STUDY}/runs/{RUNS[0]}" in note


REMAINS: dict[str, Callable[[Path], object]] = {
    "summary.json": Path.mkdir,
    "metrics.jsonl": Path.mkdir,
    "checkpoint.pt": Path.touch,
    "checkpoint.previous.pt": Path.mkdir,
}


@pytest.mark.parametrize("name", REMAINS)
def test_remains_without_a_config(doctor: Doctor, here: Path, name: str) -> None:
    """The run would stop at them."""
    run_dir = here / STUDY / "runs" / RUNS[2]
    run_dir.mkdir()
    (run_dir / ".lock").touch()  # begun and stopped at once
    assert doctor()[0] == 0
    REMAINS[name](run_dir / name)
    status, page = doctor()
    assert status == 1
    (problem,) = problems(page)
    assert problem.startswith(f"{run_dir.relative_to(here)}: {name}, but no config.yaml -> ")


def test_a_damaged_run_that_was_not_asked_for(doctor: Doctor, here: Path) -> None:
    """The report at the end would still read it; its checkpoint nobody would."""
    copy = here / STUDY / "runs" / "plain-8-s7"
    shutil.copytree(here / STUDY / "runs" / RUNS[0], copy)
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("seed: 0", "seed: 7"))
    flip(copy / "checkpoint.pt")
    status, page = doctor()
    assert status == 0
    assert page["runs"][1][0] == "note"
    assert page["runs"][1][1].startswith(f"{copy.relative_to(here)}/checkpoint.pt: ")
    (copy / "metrics.jsonl").write_text("{}\n")
    status, page = doctor()
    assert status == 1
    assert f"{copy.relative_to(here)}/metrics.jsonl: line 1" in page["report"][0][1]


def test_many_damaged_runs_are_not_many_pages(doctor: Doctor, here: Path) -> None:
    for seed in range(20):
        copy = here / STUDY / "runs" / f"plain-10-s{seed}"
        shutil.copytree(here / STUDY / "runs" / RUNS[0], copy)
        cut(copy / "checkpoint.pt")
    _, page = doctor(experiment="small")
    assert len(page["runs"]) == 11
    assert page["runs"][-1] == ("note", "12 more like these")


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"experiment": "smal"}, "smal, preset quick: experiment: 'smal'; accepted: .*small"),
        ({"preset": "quik"}, "small_shapes, preset quik: preset: 'quik'; accepted: paper, quick"),
        ({"preset": "paper"}, "small_shapes, preset paper: .*quick"),
    ],
)
def test_a_study_that_is_none(doctor: Doctor, asked: dict[str, str], line: str) -> None:
    status, page = doctor(**asked)
    assert status == 1
    assert re.match(line, problems(page)[0])
    assert page["runs"][0][1].startswith(f"{STUDY}: 1 unfinished: plain-8-s0 at 10 of 20")


def test_outside_of_a_checkout(doctor: Doctor, here: Path) -> None:
    (here / "experiments").rename(here / "elsewhere")
    status, page = doctor("seed=9")  # which was not planned yet
    assert status == 1
    assert problems(page) == [
        f"small_shapes, preset quick: no experiments/ in {here}; accepted: the folder of a "
        "checkout, which has it"
    ]
    assert page["precision"][0][0] == "ok"  # the rest of the page is told


@pytest.mark.parametrize("launcher", ["slurm", "mine"])
def test_slurm_where_there_is_none(
    doctor: Doctor,
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    launcher: str,
) -> None:
    (here / "conf/hydra/launcher/mine.yaml").write_text("defaults: [slurm]\npartition: gpu\n")
    asked = f"hydra/launcher={launcher}"
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    assert "Slurm" not in doctor()[1]
    assert "Slurm" not in doctor("hydra/launcher=pool")[1]
    status, page = doctor(asked)
    assert status == 1
    assert [text.partition(" -> ")[0] for text in problems(page)] == [
        f"no sbatch on the PATH, which {asked} needs",
        f"not installed, which {asked} needs",
    ]
    (tmp_path / "bin" / "sbatch").touch(0o755)
    monkeypatch.setattr(cluster, "find_spec", find_spec)
    status, page = doctor(asked)
    assert page["Slurm"] == [("ok", str(tmp_path / "bin" / "sbatch"))]
    assert status == (0 if find_spec("submitit") else 1)


def test_a_launcher_that_is_none(doctor: Doctor) -> None:
    status, page = doctor("hydra/launcher=slurn")
    assert status == 1
    assert "hydra/launcher: 'slurn'; accepted: " in page["launcher"][0][1]


def test_a_device_that_is_not_there(doctor: Doctor) -> None:
    status, page = doctor("hardware.device=cuda:99")
    assert status == 1
    assert "hardware.device: 'cuda:99' is not on this machine" in problems(page)[0]


def test_pytorch_that_does_not_load(here: Path) -> None:
    """As with a library missing: the rest of the page is still told."""
    (here / "broken" / "torch").mkdir(parents=True)
    (here / "broken" / "torch" / "__init__.py").write_text(
        "raise OSError('libcudnn.so.9: missing')"
    )
    path = os.pathsep.join(map(str, (here / "broken", here / "src")))
    done = command(here, "--experiment=small_shapes", PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (1, "")
    page = page_of(done.stdout)
    assert page["machine"] == [("problem", "cannot be looked at: OSError: libcudnn.so.9: missing")]
    assert [page[name][0][0] for name in ("Python", "packages", "W&B")] == ["ok"] * 3


def test_versions_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "invented-1.0.dist-info"
    folder.mkdir()
    needs = ("torch<1", "torch>=1", "nowhere_to_be_had>2", 'absent; extra == "dev"')
    text = "".join(f"Requires-Dist: {need}\n" for need in needs)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: invented\nVersion: 1.0\n{text}")
    monkeypatch.syspath_prepend(tmp_path)
    version = torch.__version__.partition("+")[0]
    assert list(versions.unmet("invented")) == [
        f"torch {version}: invented needs torch<1",
        "nowhere_to_be_had: not installed, invented needs nowhere_to_be_had>2",
    ]
    assert list(versions.unmet("never_installed")) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch sees the card")
def test_a_card_that_pytorch_does_not_see(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.86.15'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    status, page = doctor()
    assert (status, page["GPU"][0][0]) == (0, "note")
    assert page["GPU"][0][1].startswith(
        "NVIDIA H200, driver 570.86.15, but PyTorch does not see it"
    )


@pytest.mark.gpu
def test_cards() -> None:
    lines = list(machine.gpus())
    assert [line.state for line in lines] == ["ok"] * torch.cuda.device_count()
    assert torch.cuda.get_device_name(0) in lines[0].found
    has_tf32 = torch.cuda.get_device_capability(0) >= (8, 0)
    assert machine.computes("tf32", torch.device("cuda")) == has_tf32
    assert machine.computes("fp32", torch.device("cuda"))


def test_precisions_of_a_cpu() -> None:
    """CPUs have no TF32; bf16 is computed by all of them."""
    found = [machine.computes(name, torch.device("cpu")) for name in ("fp32", "tf32", "bf16")]
    assert found == [True, False, True]


def test_memory_that_a_batch_system_allows(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n",
        "proc/self/cgroup": "0::/slurm/job_7/step_0\n4:memory:/old\n3:cpu:/old\n",
        "sys/slurm/job_7/memory.max": "5000000",
        "sys/slurm/job_7/memory.current": "3000000",
        "sys/slurm/job_7/memory.stat": "anon 1000000\ninactive_file 1500000\n",
        "sys/slurm/job_7/step_0/memory.max": "max",
        "sys/slurm/job_7/step_0/memory.current": "1",
        "sys/slurm/job_7/step_0/memory.stat": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.available(tmp_path / "proc", tmp_path / "sys") == 3_500_000
    (tmp_path / "sys/memory").mkdir()
    for name, text in (
        ("memory.limit_in_bytes", "1000000"),
        ("memory.usage_in_bytes", "900000"),
        ("memory.stat", "total_inactive_file 50000\n"),
    ):
        (tmp_path / "sys/memory" / name).write_text(text)
    assert memory.available(tmp_path / "proc", tmp_path / "sys") == 150_000
    assert memory.available(tmp_path / "proc", tmp_path / "none") == 8_192_000
    assert memory.available(tmp_path / "none") > 2**20


def test_the_estimate_is_near_what_a_run_leaves(made: Path) -> None:
    cfg = planned(Asked("small_shapes", "quick"))[0][RUNS[1]]
    run_dir = made / STUDY / "runs" / RUNS[1]
    size = (run_dir / "checkpoint.pt").stat().st_size
    assert size <= need.checkpoint_bytes(cfg) <= 1.3 * size
    lines = (run_dir / "metrics.jsonl").stat().st_size
    assert lines <= need.record_bytes(cfg) <= 2.5 * lines
    every = sum(path.stat().st_size for path in run_dir.iterdir())
    assert every <= need.disk_bytes([cfg], mirrored=False)


def test_activations_by_hand() -> None:
    """A plain ResNet-8: each of 7 convs keeps its input, its output (for batch norm) and ReLU's
    output is the next one's input; the linear layer keeps the 16 means.
    """
    cfg = tiny_config("model.kind=plain", "data.name=shapes")
    maps = [4 * 8 * 8] * 3 + [8 * 4 * 4] * 2 + [16 * 2 * 2] * 2
    numbers = 3 * 8 * 8 + 2 * sum(maps) + 16
    assert need.size(cfg).kept_bytes == pytest.approx(4 * numbers, rel=0.1)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.depth=204",),
        ("model.depth=202", "model.kind=plain", "model.order=pre"),
        ("model.depth=200", "model.net=mlp", "data.augment=false"),
    ],
)
def test_a_deeper_net_by_formula(
    overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = make_config(*overrides)
    built = need.size(cfg)
    monkeypatch.setattr(need, "DEEPEST", 190)
    monkeypatch.setattr(need, "SHALLOW", 20)
    assert need.size(cfg) == built


def test_a_wider_net_by_its_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = make_config("model.depth=20")
    built = need.size(cfg)
    need._size.cache_clear()
    monkeypatch.setattr(need, "WIDEST", 4)
    assert need.size(cfg) == built
    need._size.cache_clear()


@pytest.mark.parametrize("override", ["model.depth=200000", "model.width=100000"])
def test_a_net_that_cannot_be_built(
    doctor: Doctor, override: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its estimate, and nothing of its size is made."""
    made = []

    def build(cfg: ModelConfig, *rest: Any) -> nn.Module:
        with torch.device("meta" if cfg.width > 256 else "cpu"):
            made.append(build_model(cfg, *rest))
        return made[-1]

    monkeypatch.setattr(need, "build_model", build)
    _, page = doctor(override)
    assert 0 < len(made) <= 4
    assert all(len(list(net.parameters())) < 1000 for net in made)
    assert "(nets too large to build here: by formula)" in page["memory"][0][1]
    assert "(nets too large to build here: by formula)" in page["disk"][0][1]


def test_the_commands_are_there() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_make_doctor(here: Path) -> None:
    python = here / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\nfor argument; do echo "$argument"; done\n')
    done = subprocess.run(
        ["make", "doctor", "EXPERIMENT=small_shapes", "PRESET=paper", "DATA_ROOT=a b", "SEEDS=-1"],
        cwd=here,
        env=environment(here),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        *("-m", "degradation.doctor", "--experiment=small_shapes", "--preset=paper"),
        *("--seeds=-1", "--data-root=a b"),
    ]
