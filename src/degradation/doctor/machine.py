"""The code, PyTorch, the devices and what they can compute."""

import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import joblib
import torch

from degradation import environment
from degradation.config import HardwareConfig, TrainerConfig
from degradation.doctor.page import NOTE, OK, PROBLEM, Line, flat, gib, looked
from degradation.doctor.plan import Asked, planned

SMI = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
SIDE = 512
"""Of the matrices that are multiplied to see whether a precision is computed; small ones need not
go to the matrix units.
"""


def look(asked: Asked) -> Iterator[Line]:
    yield from looked("code", lambda: [code()])
    yield from looked("CPU", lambda: [cores()])
    yield from looked("GPU", gpus)
    runs, _ = planned(asked)
    hardware = next((run.hardware for run in runs.values()), HardwareConfig())
    wanted = {run.trainer.precision for run in runs.values()}
    yield from looked("precision", lambda: precisions(hardware, wanted))


def code() -> Line:
    state = environment.code_state()
    commit = state["git_commit"]
    if commit is None:
        return Line(NOTE, "code", "not a git checkout: records will name no commit")
    if state["git_dirty"]:
        found = f"commit {commit[:7]}, but src/ or conf/ differ from it"
        return Line(NOTE, "code", found, "commit before runs that are to be evidence")
    return Line(OK, "code", f"commit {commit[:7]}")


def cores() -> Line:
    usable, threads = joblib.cpu_count(), torch.get_num_threads()
    found = f"{environment.device_name(torch.device('cpu'))}; {os.cpu_count()} cores, "
    found += f"{usable} usable, {threads} threads by default"
    if threads > usable:
        return Line(NOTE, "CPU", found, f"OMP_NUM_THREADS={usable} or hardware.threads={usable}")
    return Line(OK, "CPU", found)


def gpus() -> Iterator[Line]:
    """Each CUDA device, or why there is none."""
    cuda = torch.version.cuda
    built = f"PyTorch {torch.__version__}, {f'for CUDA {cuda}' if cuda else 'without CUDA'}"
    if torch.backends.mps.is_available():
        yield Line(OK, "GPU", f"Apple GPU; {built}")
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cards, driver = nvidia()
    if not count and cards:
        reasons = [flat(warning.message) for warning in told]
        if "CUDA_VISIBLE_DEVICES" in os.environ:
            reasons.append("CUDA_VISIBLE_DEVICES is set")
        found = f"{', '.join(cards)}, driver {driver}, but PyTorch does not see it; {built}"
        advice = "; ".join(reasons) or "a PyTorch built for a CUDA that this driver has"
        yield Line(NOTE, "GPU", found, f"runs go to the CPU: {advice}")
    elif not count:
        yield Line(OK, "GPU", f"none, runs go to the CPU; {built}")
    for index in range(count):
        yield from looked(f"cuda:{index}", lambda: [card(index, f"driver {driver}; {built}")])  # noqa: B023


def card(index: int, built: str) -> Line:
    free, total = torch.cuda.mem_get_info(index)
    major, minor = torch.cuda.get_device_capability(index)
    found = f"{torch.cuda.get_device_name(index)}, compute capability {major}.{minor}, "
    found += f"{gib(free)} of {gib(total)} free, {built}"
    return Line(OK, f"cuda:{index}", found)


def nvidia() -> tuple[list[str], str]:
    """Names of the cards and version of the driver by the driver's own tool, whatever PyTorch
    sees; nothing where it is not installed or does not answer.
    """
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return [], "unknown"
    found = [line.rpartition(", ") for line in done.stdout.splitlines() if ", " in line]
    return [name for name, _, _ in found], found[0][2] if found else "unknown"


def precisions(hardware: HardwareConfig, wanted: set[str]) -> Iterator[Line]:
    """Each is computed once on the device that runs would take, and the numbers looked at."""
    device = environment.select_device(hardware)
    made = {name: computes(name, device) for name in ("fp32", "tf32", "bf16")}
    environment.set_arithmetic(TrainerConfig(precision="fp32"))
    how = f" ({bf16_units()})" if device.type == "cpu" and made["bf16"] else ""
    found = ", ".join(f"{name} {'yes' if fine else 'no'}" for name, fine in made.items()) + how
    found = f"computed on {device}: {found}"
    lacking = {name for name in wanted if not made[name]}
    if lacking:
        state = NOTE if lacking == {"tf32"} else PROBLEM  # instead of which fp32 is computed
        names = ", ".join(sorted(lacking))
        yield Line(state, "precision", f"{found}; the study is in {names}", "another device")
    else:
        yield Line(OK, "precision", found)


def computes(precision: str, device: torch.device) -> bool:
    """Whether a product of matrices comes out as this precision has it: 1 + 2^-12 is kept by fp32
    and is 1 with the 10 bits of TF32 and the 7 of bf16.
    """
    environment.set_arithmetic(TrainerConfig(precision=precision))
    a = torch.full((SIDE, SIDE), 1 + 2.0**-12, device=device)
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            product = a @ torch.eye(SIDE, device=device)
        found = product.float().cpu()
    except RuntimeError:  # no kernel for this device
        return False
    expected = a.cpu() if precision == "fp32" else torch.ones(SIDE, SIDE)
    return torch.equal(found, expected)


def bf16_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """How a CPU does bf16: by its own instructions or converted."""
    text = cpuinfo.read_text().lower() if cpuinfo.exists() else ""
    flags = set(text.split())
    units = sorted(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    return f"by {', '.join(units)}" if units else "without instructions of its own: slower"
