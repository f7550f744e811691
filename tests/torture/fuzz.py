"""Spoilt inputs for every reader of what a user hands in.

Whatever the bytes, a reader returns a value that the code behind it can use, or raises one of the
project's own errors: one line that names the file, or the key. It ends, within bounds of time and
memory, and writes nothing.
"""

import random
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from tests.torture.readers import READERS, Reader

Read = Callable[[Path], object]
MOST_S, MOST_BYTES = 20.0, 2 << 30
"""Of one input; the memory on top of what the process has already."""


class Hang(BaseException):
    """Not an Exception, so that no reader takes it for a damaged file."""


@dataclass
class Count:
    """What became of one reader's inputs."""

    reader: str
    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    crashes: int = 0


def fuzz(cases: int, seed: int, saved: Path, readers: Sequence[Reader] = READERS) -> list[Count]:
    """`cases` spoilt inputs for each reader (fewer for the slow ones), the same for the same seed.

    Each input that crashes its reader is kept below `saved`, as `<reader>-<case>/`, with the
    traceback beside it.
    """
    return [_fuzz_one(reader, max(1, cases // reader.cost), seed, saved) for reader in readers]


def as_json(counts: Sequence[Count]) -> list[dict[str, object]]:
    """For a results file."""
    return [asdict(count) for count in counts]


def _fuzz_one(reader: Reader, cases: int, seed: int, saved: Path) -> Count:
    count = Count(reader.name)
    saved.mkdir(parents=True, exist_ok=True)
    folder = saved / f".{reader.name}"
    for case in range(cases):
        draw = random.Random(f"{seed}-{reader.name}-{case}")
        lay_out(reader, folder)
        path = folder / draw.choice(reader.spoilt)
        path.write_bytes(reader.spoil(path.read_bytes(), path.name, draw))
        outcome = outcome_of(reader, folder, path)
        count.inputs += 1
        count.refused += outcome == "refused"
        count.accepted += outcome == "accepted"
        if outcome not in ("refused", "accepted"):
            count.crashes += 1
            kept = saved / f"{reader.name}-{case}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept)
            (kept / "traceback.txt").write_text(outcome, errors="replace")
    shutil.rmtree(folder, ignore_errors=True)
    return count


def lay_out(reader: Reader, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in reader.files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def outcome_of(reader: Reader, folder: Path, spoilt: Path) -> str:
    """`refused`, `accepted`, or what is wrong with the reader."""
    before = _content(folder)
    try:
        with _bounded():
            reader.read(folder)
        outcome = "accepted"
    except reader.refusals as error:
        outcome = "refused"
        line = reader.line(error)
        told = reader.names_file is False or spoilt.name in line or str(folder) in line
        if not told or len(line.splitlines()) != 1:
            outcome = f"not one line that names {spoilt.name}: {line!r}\n{traceback.format_exc()}"
    except (Exception, Hang):
        outcome = traceback.format_exc()
    return outcome if _content(folder) == before else f"the folder has changed; {outcome}"


def _content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def _bounded() -> Iterator[None]:
    """Hang after a time, MemoryError beyond a size."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_BYTES, hard))
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
