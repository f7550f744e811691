"""Builds the stub of CUDA (stub.cpp) and reads what it has seen."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("stub.cpp")
LIBRARY = "libcuda.so.1"
"""The driver's name, so that nothing looks for another."""
HEADERS = {"nvidia": ("cu13/include", "cudnn/include"), "triton": ("backends/nvidia/include",)}
"""Folders in the packages that PyTorch's wheels bring along."""


@dataclass
class Seen:
    """By the stub, since it was told to forget."""

    refused: list[str]
    """What CUDA would have refused for a capture's sake."""
    beside: list[str]
    """Launched by a thread that captures, but on another stream: not in the graph."""
    waits: int
    """Calls in which the host waits for the device."""
    streams: list[Counter[str]]
    """Launches by name; the default stream is the first."""
    graphs: list[Counter[str]]
    """Of each captured graph, the launches it repeats."""

    @property
    def launched(self) -> Counter[str]:
        return sum(self.streams, Counter())


def why_not() -> str:
    """What is missing here for the stub; empty if nothing is."""
    if sys.platform != "linux" or not torch.version.cuda:
        return "PyTorch here is not the CUDA build for Linux"
    if not torch.version.cuda.startswith("13."):
        return f"the stub is of CUDA 13, PyTorch here of {torch.version.cuda}"
    if not shutil.which("g++"):
        return "no g++ here"
    return "" if all(folder.is_dir() for folder in headers()) else "no headers of CUDA here"


def build(folder: Path) -> Path:
    library = folder / LIBRARY
    flags = ["-std=c++17", "-O1", "-Wall", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
    includes = [f"-I{path}" for path in headers()]
    subprocess.run(["g++", *flags, *includes, str(SOURCE), "-o", str(library)], check=True)
    return library


def headers() -> list[Path]:
    """HEADERS, whether they are there or not."""
    site = Path(torch.__file__).parents[1]
    return [site / package / path for package, paths in HEADERS.items() for path in paths]


def with_stub(library: Path) -> dict[str, str]:
    """The environment for a process on the stub. What it compiles stays beside the library: nobody
    else wants kernels that were chosen without a clock.
    """
    caches = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
    places = {key: str(library.parent / name) for key, name in caches.items()}
    places |= {"LD_PRELOAD": str(library), "TRITON_LIBCUDA_PATH": str(library.parent)}
    return os.environ | places


def forget() -> None:
    """In a process on the stub."""
    ctypes.CDLL(None).cuda_stub_forget()


def seen() -> Seen:
    """In a process on the stub."""
    with tempfile.NamedTemporaryFile("r") as file:
        ctypes.CDLL(None).cuda_stub_write(file.name.encode())
        report = json.load(file)
    return Seen(
        report["refused"],
        report["beside_a_capture"],
        report["waits"],
        streams=[Counter(launches) for launches in report["streams"]],
        graphs=[Counter(launches) for launches in report["graphs"]],
    )
