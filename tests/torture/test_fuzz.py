"""No spoilt input crashes its reader; and the search itself sees what it is there to see."""

import hashlib
import random
from pathlib import Path

import pytest
from tests.torture import fuzz as module
from tests.torture.fuzz import as_json, fuzz, lay_out, outcome_of
from tests.torture.readers import READERS, Reader
from tests.torture.trees import spoil_tree

from degradation import checkpoint

BY_NAME = {reader.name: reader for reader in READERS}


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {"data_root"}))  # there is no such folder
def test_the_real_input_is_accepted(name: str, tmp_path: Path) -> None:
    reader, folder = BY_NAME[name], tmp_path / "input"
    lay_out(reader, folder)
    assert outcome_of(reader, folder, folder / reader.spoilt[0]) == "accepted"


@pytest.mark.parametrize("name", BY_NAME)
def test_spoilt_inputs(name: str, tmp_path: Path) -> None:
    (count,) = fuzz(100, 0, tmp_path, (BY_NAME[name],))
    assert count.crashes == 0, list(tmp_path.rglob("traceback.txt"))
    assert count.inputs == count.refused + count.accepted >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_many_spoilt_inputs(name: str, tmp_path: Path) -> None:
    (count,) = fuzz(3000, 1, tmp_path, (BY_NAME[name],))
    assert count.crashes == 0, list(tmp_path.rglob("traceback.txt"))


def crash(folder: Path) -> None:
    raise KeyError("a bug")


def write(folder: Path) -> None:
    (folder / "mine").write_text("stray")


def tell_in_two_lines(folder: Path) -> None:
    raise OSError(f"{folder}:\nno")


def name_nothing(folder: Path) -> None:
    raise OSError("no")


def hang(folder: Path) -> None:
    while True:
        try:
            sum(range(1000))
        except Exception:
            return


def grow(folder: Path) -> None:
    bytearray(8 << 30)


@pytest.mark.parametrize("bug", [crash, write, tell_in_two_lines, name_nothing, hang, grow])
def test_the_search_finds(
    bug: "module.Read", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_S", 0.2)
    reader = Reader("buggy", lambda: {"a.json": b'{"a": 1}'}, ("a.json",), bug, (OSError,))
    (count,) = fuzz(2, 0, tmp_path, (reader,))
    assert as_json([count]) == [
        {"reader": "buggy", "inputs": 2, "refused": 0, "accepted": 0, "crashes": 2}
    ]
    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt"))
    assert kept == ["buggy-0/traceback.txt", "buggy-1/traceback.txt"]
    assert (tmp_path / "buggy-0" / "a.json").exists()


def test_the_same_seed_is_the_same_search(tmp_path: Path) -> None:
    first, again, *others = (
        fuzz(30, seed, tmp_path, (BY_NAME["verdict"],)) for seed in (3, 3, 4, 5, 6, 7)
    )
    assert first == again
    assert any(other != first for other in others)  # they are counts, which may be the same


def test_a_spoilt_tree_has_its_own_digest() -> None:
    content = BY_NAME["checkpoint_content"].files()[checkpoint.CHECKPOINT]
    for case in range(20):
        spoilt = spoil_tree(content, "checkpoint.pt", random.Random(case))
        data, _, digest = spoilt.rpartition(checkpoint.MARK)
        assert spoilt != content
        assert hashlib.sha256(data).hexdigest().encode() == digest
