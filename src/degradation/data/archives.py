"""Files from elsewhere: where they are kept, and that nothing but their SHA-256 is trusted."""

import contextlib
import gzip
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from degradation import lines

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]
"""Training images and labels, test images and labels: what every data set is loaded as."""


_DAMAGED = (tarfile.TarError, gzip.BadGzipFile, zlib.error)


class DataError(ValueError):
    """Data that is missing, damaged or out of reach; the message tells the user what and where."""


class Sum(NamedTuple):
    """What a file must be, byte for byte."""

    size: int
    """Bytes."""
    sha256: str


def cache_folder() -> Path:
    """Where downloads and decoded sets are kept; need not exist yet."""
    if own := os.environ.get("DEGRADATION_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "degradation"


def users_folder(root: str) -> Path:
    """`data.root` as the user means it. Raises DataError."""
    try:
        return Path(root).expanduser().absolute()
    except RuntimeError as error:  # ~nobody
        raise DataError(f"data.root={root}: {error}") from None


def verify(path: Path, expected: Sum) -> None:
    """Raises DataError in one line if `path` is missing, unreadable, truncated or altered."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path}: missing") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if size != expected.size:
        raise DataError(f"{path}: {size:,} bytes, expected {expected.size:,}; get it again")
    if found != expected.sha256:
        raise DataError(f"{path}: SHA-256 {found}, expected {expected.sha256}; get it again")


def unpack(archive: Path, folder: Path, members: Mapping[str, Sum]) -> None:
    """Puts the files `<folder's name>/<member>` of a tar archive into `folder`, all verified.

    The archive cannot write outside: only the contents of the files named in `members` are taken
    from it, never a path, a link or a mode. `folder` appears complete, by a rename, and only then
    replaces what was there. Raises DataError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        fresh = Path(temporary, folder.name)
        fresh.mkdir()
        try:
            with tarfile.open(archive, "r:gz") as tar:
                for name, expected in members.items():
                    _take(tar, tar.getmember(f"{folder.name}/{name}"), expected, fresh / name)
        except (KeyError, EOFError, DataError, *_DAMAGED) as error:
            raise DataError(f"{archive}: not the expected archive ({error})") from None
        if folder.exists():
            folder.rename(Path(temporary, "old"))
        fresh.rename(folder)


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, expected: Sum, path: Path) -> None:
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise tarfile.TarError(f"{member.name} is not a regular file")
    if member.size != expected.size:  # before a disk is filled with it
        raise tarfile.TarError(f"{member.name}: {member.size:,} bytes, expected {expected.size:,}")
    with content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
    verify(path, expected)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, the others wait and say so. Raises DataError if it cannot be made."""
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            lines.say(f"waiting for another process that is filling {path.parent}", sys.stderr)
            lock.acquire()
    except OSError as error:
        raise DataError(
            f"{path.parent}: the cache folder cannot be written ({error.strerror}); "
            "set DEGRADATION_CACHE to one that can"
        ) from None
    try:
        yield
    finally:
        lock.release()
