"""What is written about the machine, and what is not."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.helpers import make_config, tiny_config

from degradation import begin, config, environment, identity, train
from degradation.config import ConfigError, HardwareConfig, TrainerConfig

TRAINER = TrainerConfig(precision="fp32", deterministic=True)
CPU = torch.device("cpu")
CHECKOUT = Path(__file__).parents[1]


@pytest.fixture
def settings_kept() -> Iterator[None]:
    threads, (*tf32, deterministic, benchmark) = torch.get_num_threads(), arithmetic()
    yield
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark


def arithmetic() -> tuple[bool, bool, bool, bool]:
    """TF32 in matrix products and in cuDNN; cuDNN deterministic, and benchmarking."""
    cudnn = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul.allow_tf32
    return matmul, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark


def test_says_what_the_run_was_made_with() -> None:
    described = environment.describe(CPU, ["model.depth=8"])
    assert described["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert described["command"] == "degradation model.depth=8"
    assert described["threads"] == torch.get_num_threads()
    assert described["cores"] == os.cpu_count()
    assert described["device"]
    assert json.loads(json.dumps(described)) == described


def test_git_state_is_the_checkouts() -> None:
    git = ["git", "-C", str(CHECKOUT)]
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout")
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    status = [*git, "status", "--porcelain", "--untracked-files=all"]
    lines = subprocess.run(status, capture_output=True, text=True, check=True).stdout.splitlines()
    changed = any(line[3:].startswith(("src/", "conf/")) for line in lines)
    described = environment.describe(CPU, [])
    assert described["git_commit"] == head.stdout.strip()
    assert described["git_dirty"] == changed


def test_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(environment, "COMMIT", tmp_path / "none")  # `make bundle` may have left one
    described = environment.describe(CPU, [])
    assert (described["git_commit"], described["git_dirty"]) == (None, False)


def copied(folder: Path) -> Path:
    for part in ("src", "conf"):
        shutil.copytree(
            CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def commit_all(repository: Path) -> str:
    """The commit of a new repository with what is in the folder."""
    identity_of = ["-c", "user.name=a", "-c", "user.email=a@b"]
    made = [*identity_of, "commit", "-q", "--allow-empty", "-m", "x"]
    for arguments in (["init", "-q"], ["add", "."], made):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    head = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(head, cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def code_state(copy: Path) -> dict[str, Any]:
    """What a copy of the code says of itself."""
    show = (
        "import json; from degradation import environment as e; print(json.dumps(e.code_state()))"
    )
    env = os.environ | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True, env=env
    )
    state: dict[str, Any] = json.loads(done.stdout)
    return state


def test_a_copy_within_another_repository_is_not_of_its_commit(tmp_path: Path) -> None:
    commit_all(tmp_path)
    assert code_state(copied(tmp_path / "copy")) == {"git_commit": None, "git_dirty": False}


@pytest.mark.parametrize("path", ["conf/x.yaml", "src/degradation/train.py"])
def test_code_that_differs_from_its_commit_is_dirty(tmp_path: Path, path: str) -> None:
    head = commit_all(copied(tmp_path))
    (tmp_path / "README.md").write_text("A change that makes no other run.")
    assert code_state(tmp_path) == {"git_commit": head, "git_dirty": False}
    with (tmp_path / path).open("a") as file:
        file.write("# changed\n")
    assert code_state(tmp_path) == {"git_commit": head, "git_dirty": True}


def test_names_neither_user_host_folder_nor_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setenv("SOME_VARIABLE", "a-value-of-the-environment")
    overrides = ["data.root=/home/somebody/data", f"output_root={tmp_path}", "seed=3"]
    overrides.append("tracking.entity=somebody")
    text = json.dumps(environment.describe(CPU, overrides))
    assert "degradation data.root=... output_root=... seed=3 tracking.entity=..." in text
    secrets = ["0123456789", "a-value-of-the-environment", "somebody", str(tmp_path)]
    for secret in [*secrets, socket.gethostname(), str(CHECKOUT), str(Path.home())]:
        assert secret not in text
    assert f'"{getpass.getuser()}"' not in text


def test_command_can_be_pasted_into_a_shell() -> None:
    line = environment.command(["schedule.milestones=[1, 2]", "experiment=a'b"])
    shown = subprocess.run(
        ["sh", "-c", f"degradation() {{ printf '%s\\n' \"$@\"; }}; {line}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.splitlines() == ["schedule.milestones=[1, 2]", "experiment=a'b"]


def test_command_of_a_run_of_a_sweep_makes_that_run_alone() -> None:
    line = environment.command(["+experiment=depth_sweep", "model.kind=plain"])
    assert line == "degradation +experiment=depth_sweep model.kind=plain hydra.mode=RUN"


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_devices(name: str) -> None:
    expected = "cuda" if name == "auto" and torch.cuda.is_available() else "cpu"
    if name == "auto" and torch.backends.mps.is_available():
        expected = "mps"
    assert environment.select_device(HardwareConfig(device=name)).type == expected


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:99", "meta", "", "hpu"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=r"hardware\.device: .* accepted: auto, cpu") as failure:
        environment.select_device(HardwareConfig(device=name))
    assert repr(name) in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.usefixtures("settings_kept")
def test_threads() -> None:
    for threads in (1, 2):
        environment.set_up(HardwareConfig(device="cpu", threads=threads), TRAINER)
        assert torch.get_num_threads() == threads
    environment.set_up(HardwareConfig(device="cpu", threads=0), TRAINER)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("settings_kept")
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_arithmetic_is_the_configs(precision: str, tf32: bool, deterministic: bool) -> None:
    environment.set_arithmetic(TrainerConfig(precision=precision, deterministic=deterministic))
    assert arithmetic() == (tf32, tf32, deterministic, not deterministic)


@pytest.mark.usefixtures("settings_kept")
def test_runs_in_turns_have_each_its_own_arithmetic(tmp_path: Path) -> None:
    chosen = (True, False)
    runs = [
        train.in_turns(
            tiny_config(
                "data.name=shapes", "tracking.mode='off'", f"trainer.deterministic={deterministic}",
                f"output_root={tmp_path / str(deterministic)}",
            ),
            make_config(),
        )
        for deterministic in chosen
    ]  # fmt: skip
    for _ in range(3):
        for deterministic, run in zip(chosen, runs, strict=True):
            next(run)
            assert arithmetic()[2:] == (deterministic, not deterministic)
    for run in runs:
        run.close()


def test_seed() -> None:
    draws = []
    for seed in (7, 7, 8, 2**32 - 1):
        begin.fresh_state(tiny_config(f"seed={seed}"), CPU)
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


@pytest.mark.parametrize(("asked", "made"), [("tf32", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_without_tf32_units_the_run_is_one_in_fp32(asked: str, made: str) -> None:
    cfg = tiny_config(f"trainer.precision={asked}", "hardware.device=cpu")
    here = environment.on_this_machine(cfg)
    assert here.trainer.precision == made
    assert cfg.trainer.precision == asked
    assert identity.differences(config.to_dict(cfg), config.to_dict(here)) == (
        [f"trainer.precision: {asked} / {made}"] if asked != made else []
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"git_commit": "c0ffee"}', '"git_commit"'])
def test_damaged_word_of_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "commit.json").write_text(text)
    monkeypatch.setattr(environment, "COMMIT", tmp_path / "commit.json")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"commit.json: damaged; `make bundle` writes it anew"):
        environment.code_state()
