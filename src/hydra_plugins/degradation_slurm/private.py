"""A folder in which nobody else can put a file in another's place."""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

ROOT = 0


def make_private(folder: Path) -> None:
    """Makes it for its owner alone, where it is not there yet.

    Raises PermissionError where others may enter it, or may move it aside and put one of theirs in
    its place: as ssh takes no key from below a folder that others can write to.
    """
    folder = folder.expanduser().absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder}: is of user {_name(found.st_uid)}")
    if found.st_mode & 0o077:
        raise PermissionError(f"{folder}: is open to others (mode {found.st_mode & 0o777:o})")
    for above in _above(folder):
        if why := _changed_by_others(above.stat()):
            raise PermissionError(f"{folder}: below {above}, which {why}")


def _above(folder: Path) -> Iterator[Path]:
    """The folders by way of which it is found, also where links lead there."""
    yield from folder.parents
    yield from folder.resolve().parents


def _changed_by_others(found: os.stat_result) -> str:
    """How others could put something else below a folder; empty where they cannot."""
    if found.st_uid not in (os.geteuid(), ROOT):
        return f"is of user {_name(found.st_uid)}"
    others = found.st_mode & (stat.S_IWOTH if _is_own_group(found.st_gid) else 0o022)
    if others and not found.st_mode & stat.S_ISVTX:  # which leaves files to their owners
        return f"others can write to (mode {found.st_mode & 0o777:o})"
    return ""


def _is_own_group(gid: int) -> bool:
    """Whether a user has it to himself, as many Linux systems set them up."""
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    is_named_after = group.gr_name == user.pw_name and gid == user.pw_gid
    return is_named_after and set(group.gr_mem) <= {user.pw_name}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
