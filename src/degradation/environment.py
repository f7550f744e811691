"""The machine a run is made on: device, versions, git state."""

import os
import platform
import re
import shlex
import subprocess
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from degradation import distributed, plain
from degradation.config import Config, ConfigError, HardwareConfig, TrainerConfig

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "wandb")
ROOT = Path(__file__).resolve().parents[2]
COMMIT = ROOT / "offline" / "commit.json"
CODE = (":/src", ":/conf")
"""What can make a commit's run another one, files that git does not know yet included."""

# a hardware queue for each stream of a fleet, up to the 32 there are; must be set before CUDA
# starts, which Hydra's callbacks make it do before a launcher is asked for
os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")


def select_device(cfg: HardwareConfig) -> torch.device:
    """The device, which becomes the current one: streams and graphs are made there.

    Raises ConfigError for a device this machine does not have, OSError for one that is full.
    """
    name = distributed.local_device(cfg.device)
    if name == "auto":
        name = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    try:
        value = torch.zeros(1, device=name)
        value.item()  # `meta` exists, but holds no values
    except (RuntimeError, AssertionError, NotImplementedError, ModuleNotFoundError) as error:
        if "out of memory" in str(error):
            told = " ".join(str(error).split(".")[0].split())
            raise OSError(f"hardware.device: {name}: {told}") from None
        raise ConfigError(
            f"hardware.device: {name!r} is not on this machine; accepted: {_devices()}"
        ) from None
    if value.is_cuda:
        torch.cuda.set_device(value.device)  # `cuda` alone, without a number, it would not take
    return value.device


def _devices() -> str:
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return ", ".join(
        ["auto", "cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]
    )


def on_this_machine(cfg: Config) -> Config:
    """The config as it is made and recorded here: without TF32 units `tf32` is fp32.

    Raises ConfigError for a device, or kernels, that this machine does not have.
    """
    device = select_device(cfg.hardware)
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
    kernels = cfg.hardware.batch_norm_kernels
    least = {"fused": (7, 0), "fused_early": (9, 0)}.get(kernels, (0, 0))  # Triton; early launches
    if capability < least or (least > (0, 0) and not find_spec("triton")):
        accepted = f"library, native; {kernels} needs Triton and compute capability {least[0]}.0"
        raise ConfigError(f"hardware.batch_norm_kernels: {kernels!r}; accepted: {accepted}")
    has_tf32 = capability >= (8, 0)
    if cfg.trainer.precision != "tf32" or has_tf32:
        return cfg
    return replace(cfg, trainer=replace(cfg.trainer, precision="fp32"))


def set_up(cfg: HardwareConfig, trainer: TrainerConfig) -> torch.device:
    """Sets threads and arithmetic, and returns the device."""
    device = select_device(cfg)
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    set_arithmetic(trainer)
    return device


def set_arithmetic(cfg: TrainerConfig) -> None:
    """TF32 units and the choice of algorithms, which PyTorch keeps for the whole process."""
    torch.backends.cuda.matmul.allow_tf32 = cfg.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = cfg.precision == "tf32"
    torch.backends.cudnn.deterministic = cfg.deterministic
    torch.backends.cudnn.benchmark = not cfg.deterministic


def describe(device: torch.device, overrides: list[str]) -> dict[str, Any]:
    """For environment.json. Names no user, host, folder or environment variable."""
    return {
        "command": command(overrides),
        "processes": distributed.size(),
        **code_state(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }


def _version(package: str) -> str | None:
    """None where it is not installed: a machine that only trains can do without some."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def code_state() -> dict[str, Any]:
    """The checkout's commit, and whether its code differs from it, or may. In a copy without `.git`
    they are those of the checkout it was made of, if `make bundle` left word of them.
    """
    top, _, commit = (_git("rev-parse", "--show-toplevel", "HEAD") or "").partition("\n")
    if not commit or Path(top).resolve() != ROOT:  # there may be a repository around a copy
        return _left_word() if COMMIT.exists() else {"git_commit": None, "git_dirty": False}
    changes = _git("status", "--porcelain", "--untracked-files=all", "--", *CODE)
    return {"git_commit": commit, "git_dirty": changes != ""}


def _left_word() -> dict[str, Any]:
    try:
        state = plain.json_of(COMMIT.read_bytes())
        return {key: state[key] for key in ("git_commit", "git_dirty")}
    except (plain.PlainError, KeyError, TypeError):
        raise ConfigError(f"{COMMIT}: damaged; `make bundle` writes it anew") from None


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else _cpu_name()


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def command(overrides: list[str]) -> str:
    """The command that makes this one run, also where its experiment is a sweep; who it is tracked
    for and the folders of this machine are left out.
    """
    private = re.compile(r"((?:.*root|tracking\.entity)=).*", re.DOTALL)
    shown = [private.sub(r"\1...", override) for override in overrides]
    if any(override.startswith("+experiment=") for override in overrides):
        shown.append("hydra.mode=RUN")
    processes = distributed.size()
    torchrun = ["torchrun", f"--nproc_per_node={processes}", "-m"] if processes > 1 else []
    return shlex.join([*torchrun, "degradation", *shown])


def _git(*arguments: str) -> str | None:
    """Of the checkout this code runs from; None outside of one."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],  # which would write to its index
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
