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

import pytest
import torch
from tests.helpers import tiny_config

from degradation import begin, config, environment, identity
from degradation.config import ConfigError, HardwareConfig, TrainerConfig

TRAINER = TrainerConfig(precision="fp32", deterministic=True)
CPU = torch.device("cpu")
CHECKOUT = Path(__file__).parents[1]


@pytest.fixture
def settings_kept() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


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


def test_a_copy_within_another_repository_is_not_of_its_commit(tmp_path: Path) -> None:
    for part in ("src", "conf"):
        shutil.copytree(CHECKOUT / part, tmp_path / "copy" / part)
    identity_of = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], [*identity_of, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    show = "from degradation import environment; print(environment.code_state())"
    found = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "copy" / "src")},
    )  # fmt: skip
    assert found.stdout.strip() == "{'git_commit': None, 'git_dirty': False}"


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
