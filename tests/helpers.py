"""What several test modules make their runs of."""

import contextlib
import fcntl
import functools
import hashlib
import http.server
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from degradation import begin, cli, config
from degradation.config import Config
from degradation.data.batches import Data, prepare
from degradation.data.images import ImageSet
from degradation.loop import State

torch.set_num_threads(1)  # so small nets gain nothing from more, and suffer beside other work

TINY = (
    "model.depth=8",
    "model.width=4",
    "data.pixels=8",
    "data.train_images=256",
    "data.augment=true",
    "optim.lr=0.1",
    "schedule.iterations=20",
    "schedule.milestones=[12]",
    "schedule.warmup_iterations=4",
    "trainer.batch_size=48",
    "trainer.record_every=5",
    "trainer.eval_every=10",
    "trainer.checkpoint_every=10",
    "trainer.curve_train_images=100",
    "trainer.curve_test_images=100",
    "hardware.threads=1",
)
"""A run of a fraction of a second; 256 is not a multiple of 48, so that batches span epochs."""
TIMES = ("wall_s", "images_per_s")
WAIT_S = 600


@functools.cache
def composed(preset: str = "quick", *overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        return hydra.compose("config", [f"preset={preset}", *overrides])


def make_config(*overrides: str, preset: str = "quick") -> Config:
    """The preset with `key=value` overrides, without Hydra's command line."""
    return config.from_dict(
        OmegaConf.merge(composed(preset), OmegaConf.from_dotlist(list(overrides)))  # type: ignore[arg-type]
    )


def tiny_config(*overrides: str) -> Config:
    return make_config(*TINY, *overrides)


def noise_images(train: int = 256, test: int = 64, seed: int = 0) -> ImageSet:
    """Images of the right form without a meaning."""
    rng = np.random.default_rng(seed)
    return ImageSet(
        "shapes",
        rng.integers(0, 256, (train, 3, 32, 32), dtype=np.uint8),
        rng.integers(0, 10, train),
        rng.integers(0, 256, (test, 3, 32, 32), dtype=np.uint8),
        rng.integers(0, 10, test),
    )


def noise_data(cfg: Config, seed: int = 0) -> Data:
    return prepare(noise_images(seed=seed), cfg.data, torch.device("cpu"))


def fresh_state(cfg: Config) -> State:
    """As `train.run` begins a run on a CPU."""
    return begin.fresh_state(cfg, torch.device("cpu"))


def without_times(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a `metrics.jsonl`, read without the package's own reader."""
    if not path.exists():
        return []
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def lines_of(run_dir: Path) -> list[dict[str, Any]]:
    return without_times(read_lines(run_dir / "metrics.jsonl"))


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    content = torch.load(run_dir / "checkpoint.pt", map_location="cpu", weights_only=True)
    return {**content["model"], **{
        f"{name}.{index}": value
        for index, state in content["optimizer"]["state"].items()
        for name, value in state.items()
    }}  # fmt: skip


def same_run(one: Path, other: Path) -> None:
    """Bit for bit, but for the times."""
    assert lines_of(one) == lines_of(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def snapshot(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, by its place; the lock is no part of a record."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def only_run(output_root: Path) -> Path:
    (found,) = output_root.glob("*/*/runs/*")
    return found


def start(
    arguments: Sequence[str], cwd: Path, full_error: bool = False, **kwargs: Any
) -> "subprocess.Popen[str]":
    """The real command in a process of its own."""
    env = os.environ | {"HYDRA_FULL_ERROR": str(int(full_error))}
    env.pop("DEGRADATION_FULL_ERROR", None)  # what a guard of this process was told
    return subprocess.Popen(
        [sys.executable, "-m", "degradation", *arguments],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def on_a_terminal(
    arguments: Sequence[str], cwd: Path, lines: int = 24, columns: int = 80
) -> tuple[int, int]:
    """Python on a terminal of its own: its process and the terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        for sign in (signal.SIGINT, signal.SIGHUP):  # ignored in a background, and in a nohup
            signal.signal(sign, signal.SIG_DFL)
        os.chdir(cwd)
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, "TERM": "xterm"})
    return pid, fd


def shown_by(terminal: int, until: bytes | None = None) -> bytes:
    """What a terminal shows from now on until that is among it, or to its end."""
    shown, deadline = b"", time.monotonic() + WAIT_S
    while until is None or until not in shown:
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], shown
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # a terminal's end
            assert until is None, shown
            break
    return shown


def command(arguments: Sequence[str], cwd: Path, **kwargs: Any) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the real command."""
    process = start(arguments, cwd, **kwargs)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def assert_passes(files: Iterable[Path], marked: str, env: Mapping[str, str]) -> None:
    """Tests that need a process of their own, of those files and with such marks."""
    pytest_quietly = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*pytest_quietly, "-m", marked, *map(str, files)],
        cwd=Path(__file__).parents[1],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str] | None" = None) -> None:
    """Until it holds; the process must live until then."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def iterations(folder: Path) -> dict[str, int]:
    """The last iteration on record of each run below `<folder>/outputs`."""
    paths = folder.glob("outputs/*/*/runs/*/metrics.jsonl")
    rows = {path.parent.name: read_lines(path) for path in paths}
    return {name: found[-1]["iteration"] for name, found in rows.items() if found}


def is_alive(pid: int) -> bool:
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


def descendants(pid: int) -> set[int]:
    """The process, its children, and theirs."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = {int(a): int(b) for a, b in map(str.split, table.stdout.splitlines())}
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def call(*arguments: str) -> int:
    """The command's own `main` in this process, which saves the seconds of a start; its status."""
    from degradation.command import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["degradation", *arguments])
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setenv("DEGRADATION_FULL_ERROR", "0")
        with pytest.raises(SystemExit) as stop:
            main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A web server on loopback; its address without a slash."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
