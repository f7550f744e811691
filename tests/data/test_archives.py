"""Verifying and unpacking: a wrong file is named in one line, and nothing is written outside."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from degradation.data import archives
from degradation.data.archives import (
    DataError,
    Sum,
    cache_folder,
    locked,
    unpack,
    users_folder,
    verify,
)

PAYLOAD = np.random.Generator(np.random.PCG64(1)).bytes(1_000_000)
PAYLOAD_SUM = Sum(len(PAYLOAD), hashlib.sha256(PAYLOAD).hexdigest())


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DataError, match="cannot be written") as caught,
        locked(tmp_path / "file" / "lock"),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing"),
        (b"", "0 bytes, expected 1,000,000"),
        (PAYLOAD[:-1], "999,999 bytes, expected 1,000,000"),
        (PAYLOAD + b"x", "1,000,001 bytes, expected 1,000,000"),
        (PAYLOAD[:-1] + b"x", f"SHA-256 .*, expected {PAYLOAD_SUM.sha256}"),
    ],
)
def test_verify_says_what_is_wrong_in_one_line(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        verify(tmp_path / "file", PAYLOAD_SUM)
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: ")
    assert "\n" not in str(caught.value)


def test_verify_refuses_a_folder_and_accepts_the_right_bytes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read|bytes, expected"):
        verify(tmp_path, PAYLOAD_SUM)
    (tmp_path / "file").write_bytes(PAYLOAD)
    verify(tmp_path / "file", PAYLOAD_SUM)


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return path


MEMBERS = {"file": PAYLOAD_SUM}
GOOD = member("set/file", PAYLOAD)


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_unpack_takes_the_known_members_and_nothing_else(tmp_path: Path) -> None:
    evil = [
        member("../evil", b"x"),
        member(str(tmp_path / "evil"), b"x"),
        member("set/../../evil", b"x"),
        member("set/link", type=tarfile.SYMTYPE, linkname="/"),
        member("set/link/evil", b"x"),
    ]
    archive = tar(tmp_path / "archive", *evil, GOOD)
    folder = tmp_path / "in" / "set"
    unpack(archive, folder, MEMBERS)
    assert tree(tmp_path) == {"archive": archive.read_bytes(), "in/set/file": PAYLOAD}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_unpack_follows_no_link_out_of_the_archive(tmp_path: Path, kind: bytes) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(PAYLOAD)
    link = member("set/file", type=kind, linkname=str(outside))
    with pytest.raises(DataError, match="not a regular file"):
        unpack(tar(tmp_path / "archive", link), tmp_path / "set", MEMBERS)
    assert not (tmp_path / "set").exists()


DAMAGES = ("truncated", "not tar", "member missing", "member altered", "member huge")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_archive_leaves_what_is_there_alone(tmp_path: Path, damage: str) -> None:
    archive = tar(tmp_path / "archive", GOOD)
    if damage == "truncated":
        archive.write_bytes(archive.read_bytes()[: len(PAYLOAD) // 2])
    elif damage == "not tar":
        archive.write_bytes(PAYLOAD)
    elif damage == "member huge":  # nine bytes more stand for as many as a disk has
        tar(archive, member("set/file", PAYLOAD + b"and so on"))
    else:
        tar(archive, member("set/other" if "missing" in damage else "set/file", PAYLOAD[::-1]))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file").write_bytes(b"as it was")
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        unpack(archive, tmp_path / "set", MEMBERS)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{archive}: ")
    assert tree(tmp_path) == before


def test_a_member_of_another_size_is_not_even_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a small archive of zeros could fill the disk before anything is summed."""
    archive = tar(tmp_path / "archive", member("set/file", bytes(50_000_000)))
    monkeypatch.setattr(archives, "verify", None)
    with pytest.raises(DataError, match="set/file: 50,000,000 bytes, expected 1,000,000"):
        unpack(archive, tmp_path / "set", MEMBERS)


def test_a_checksum_of_gzips_own_is_one_line(tmp_path: Path) -> None:
    """Met where an archive is read to its very end, as one without the empty blocks there is."""
    archive = tar(tmp_path / "archive", member("set/file", b"abc"))
    content = gzip.compress(gzip.decompress(archive.read_bytes())[:1024])
    archive.write_bytes(content[:-8] + bytes(4) + content[-4:])
    with pytest.raises(DataError, match=f"{archive}: not the expected archive .CRC check failed"):
        unpack(archive, tmp_path / "set", {"file": Sum(3, hashlib.sha256(b"abc").hexdigest())})


def test_a_home_that_nobody_has_is_one_line() -> None:
    with pytest.raises(DataError, match=r"data.root=~nobody_at_all/data: "):
        users_folder("~nobody_at_all/data")


def test_a_good_archive_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file").write_bytes(b"damaged")
    unpack(tar(tmp_path / "archive", GOOD), tmp_path / "set", MEMBERS)
    assert (tmp_path / "set" / "file").read_bytes() == PAYLOAD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "set"]


def test_the_cache_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    for name in ("DEGRADATION_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == Path("/home/ada/.cache/degradation")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch/cache")
    assert cache_folder() == Path("/scratch/cache/degradation")
    monkeypatch.setenv("DEGRADATION_CACHE", "~/data")
    assert cache_folder() == Path("/home/ada/data")
