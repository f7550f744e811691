"""The record: what is written is what is read, whatever happens in between."""

import json
import os
import resource
import stat
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from degradation import records
from degradation.records import (
    RecordError,
    Row,
    Writer,
    read_rows,
    read_run,
    rows_of,
    write_atomically,
)

CONFIG = {"model": {"kind": "plain", "depth": 8}, "data": {"root": None}, "seed": 3, "lr": 1e-05}
ENVIRONMENT = {"python": "3.11.7", "threads": 2}
FINITE = st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.text(string.ascii_lowercase + "/_", min_size=1, max_size=9)
ROWS = st.lists(st.dictionaries(KEYS, FINITE, max_size=3), max_size=6).map(
    lambda rows: [{**row, "iteration": 10 * number} for number, row in enumerate(rows, 1)]
)
SHARED_FOLDER = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(run_dir: Path, rows: list[Row], resume_at: int | None = None) -> list[Row]:
    writer = Writer(run_dir, CONFIG, ENVIRONMENT, resume_at)
    for row in rows:
        writer.write(row)
    writer.close()
    return writer.rows


@SHARED_FOLDER
@given(ROWS)
def test_round_trip(tmp_path: Path, rows: list[Row]) -> None:
    write(tmp_path / "plain-8-s3", rows)
    run = read_run(tmp_path / "plain-8-s3")
    assert run.rows == rows
    assert (run.config, run.environment) == (CONFIG, ENVIRONMENT)
    assert (run.name, run.arm, run.status, run.summary) == (
        "plain-8-s3",
        "plain-8",
        "unfinished",
        None,
    )
    for line, row in zip(
        (tmp_path / "plain-8-s3/metrics.jsonl").read_text().splitlines(), rows, strict=True
    ):
        assert json.loads(line) == row


def test_summary_ends_a_run(tmp_path: Path) -> None:
    writer = Writer(tmp_path, CONFIG, ENVIRONMENT)
    assert records.read_summary(tmp_path) is None
    writer.finish({"status": records.FINISHED, "last": {"test/error_pct": 8.75}})
    writer.close()
    expected = {"schema": 1, "status": "finished", "last": {"test/error_pct": 8.75}}
    assert json.loads((tmp_path / "summary.json").read_text()) == expected
    assert records.read_summary(tmp_path) == expected
    assert read_run(tmp_path).status == "finished"


@SHARED_FOLDER
@given(ROWS, st.data())
def test_a_file_cut_anywhere_has_its_whole_lines(
    tmp_path: Path, rows: list[Row], data: st.DataObject
) -> None:
    write(tmp_path, rows)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    assert read_rows(path) == rows[: whole[:cut].count(b"\n")]


@SHARED_FOLDER
@given(st.binary(max_size=40).filter(lambda junk: b"iteration" not in junk))
def test_anything_else_is_refused_with_its_line(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"iteration": 1}\n' + junk + b"\n")
    with pytest.raises(RecordError) as failure:
        read_rows(path)
    assert str(failure.value).startswith(f"{path}: line ")
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    "line",
    [
        *("nothing", "[]", "3", '{"epoch": 1}', '{"iteration": "1"}', '{"iteration": 1', "", "\0"),
        *('{"iteration": true}', '{"iteration": 2, "lr": "0.1"}', '{"iteration": 2, "lr": NaN}'),
        *('{"iteration": 1}', '{"iteration": -1}', '{"iteration": 2, "lr": [1]}', "[" * 5000),
        *('{"iteration": 2, "iteration": 2}', '{"iteration": ' + "9" * 5000 + "}"),
    ],
    ids=lambda line: line[:40],
)
def test_damaged_lines(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"iteration": 1}}\n{line}\n{{"iteration": 3}}\n')
    with pytest.raises(RecordError, match="line 2 is not a line of a record"):
        read_rows(path)


def test_a_part_of_a_record_goes_on_from_the_rows_before_it(tmp_path: Path) -> None:
    before: list[Row] = [{"iteration": 1}, {"iteration": 3}]
    part = b'{"iteration": 4}\n{"iteration": 5'
    assert rows_of(part, tmp_path, before) == [{"iteration": 4}]
    with pytest.raises(RecordError, match="line 3 is not a line of a record"):
        rows_of(b'{"iteration": 3}\n', tmp_path, before)


def test_curve_is_of_the_rows_that_have_the_key(tmp_path: Path) -> None:
    write(tmp_path, [{"iteration": 5, "a": 1.0}, {"iteration": 10}, {"iteration": 15, "a": 3.0}])
    assert read_run(tmp_path).curve("a") == ([5, 15], [1.0, 3.0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_not_a_number_is_never_written(tmp_path: Path, value: float) -> None:
    writer = Writer(tmp_path, CONFIG, ENVIRONMENT)
    with pytest.raises(AssertionError, match="not finite"):
        writer.write({"iteration": 1, "train/loss": value})
    writer.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write_json(tmp_path / "summary.json", {"x": value})
    assert not (tmp_path / "summary.json").exists()


def test_continued_run_drops_what_it_will_write_again(tmp_path: Path) -> None:
    rows: list[Row] = [{"iteration": 10 * n, "x": n / 7} for n in range(1, 5)]
    write(tmp_path, rows)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 50, "x": 0.')
    kept = write(tmp_path, [], resume_at=20)
    assert kept == rows[:2]
    assert write(tmp_path, rows[2:], resume_at=20) == rows
    assert read_rows(tmp_path / "metrics.jsonl") == rows


def test_record_that_does_not_reach_the_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, [{"iteration": 10}])
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(RecordError, match="no line for iteration 20"):
        Writer(tmp_path, CONFIG, ENVIRONMENT, resume_at=20)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_fresh_start_forgets_the_old_rows(tmp_path: Path) -> None:
    write(tmp_path, [{"iteration": 10}])
    write(tmp_path, [])
    assert read_rows(tmp_path / "metrics.jsonl") == []


def test_each_line_is_on_the_disk_at_once(tmp_path: Path) -> None:
    writer = Writer(tmp_path, CONFIG, ENVIRONMENT)
    for iteration in (1, 2):
        writer.write({"iteration": iteration})
        assert read_rows(tmp_path / "metrics.jsonl")[-1] == {"iteration": iteration}
    writer.close()


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is made to last, as it happens: a file by the bytes it has then, a folder, a rename."""
    noted: list[object] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(fd: int) -> None:
        found = os.fstat(fd)
        noted.append("folder" if stat.S_ISDIR(found.st_mode) else found.st_size)
        fsync(fd)

    def noting_replace(path: Path, target: Path) -> Path:
        noted.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    return noted


def test_a_file_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, noted: list[object]
) -> None:
    write_atomically(tmp_path / "summary.json", b"content")
    assert noted == [7, "rename", "folder"]


def test_a_line_is_synced_when_it_is_whole(tmp_path: Path, noted: list[object]) -> None:
    writer = Writer(tmp_path, CONFIG, ENVIRONMENT)
    noted.clear()
    for iteration in (1, 2):
        writer.write({"iteration": iteration})
        assert noted.pop() == iteration * len('{"iteration": 1}\n')
        assert not noted
    writer.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As a full disk does, this stops a write in its middle; Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, b"old")
    with largest_file(10_000), pytest.raises(OSError, match="File too large") as failure:
        write_atomically(path, b"x" * 20_000)
    assert failure.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["summary.json"]  # noqa: PTH208
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_replaced_file_is_never_a_part_of_either(tmp_path: Path) -> None:
    """Who has the old file open reads it to its end: the new one took its name, not its bytes."""
    path = tmp_path / "summary.json"
    path.write_bytes(b"old")
    with path.open("rb") as old:
        write_atomically(path, b"new")
        assert old.read() == b"old"
    assert path.read_bytes() == b"new"


def test_failed_line_names_the_file_and_spares_the_lines_before(tmp_path: Path) -> None:
    writer = Writer(tmp_path, CONFIG, ENVIRONMENT)
    writer.write({"iteration": 1})
    with largest_file(100):
        with pytest.raises(OSError, match="File too large") as failure:
            writer.write({"iteration": 2, "x" * 200: 1.0})
        with pytest.raises(OSError, match="File too large"):
            writer.close()
    assert failure.value.filename == str(tmp_path / "metrics.jsonl")
    assert read_rows(tmp_path / "metrics.jsonl") == [{"iteration": 1}]
    assert write(tmp_path, [{"iteration": 2}], resume_at=1) == [{"iteration": 1}, {"iteration": 2}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", "- 1", "config.yaml: not a YAML mapping"),
        ("config.yaml", "{a: [", "config.yaml: not a YAML mapping"),
        ("config.yaml", b"\xff\xfe\x00", "config.yaml: not a YAML mapping"),
        ("summary.json", "{", "summary.json: not a JSON object"),
        ("summary.json", "[]", "summary.json: not a JSON object"),
        ("summary.json", '{"schema": 9}', "summary.json: schema 9, this version reads 1"),
        ("summary.json", '{"schema": 1, "status": "done"}', "status 'done'; accepted: finished"),
        ("summary.json", '{"schema": 1}', "status None; accepted: finished, diverged"),
        ("environment.json", "", "environment.json: not a JSON object"),
        ("environment.json", '{"threads": 1e999}', "environment.json: not a JSON object of plain"),
        ("config.yaml", "a: &a [*a]", "config.yaml: not a YAML mapping of plain values"),
        ("config.yaml", "a: !!python/name:os.system", "config.yaml: not a YAML mapping of plain"),
    ],
)
def test_damaged_parts_are_named(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    write(tmp_path, [])
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordError, match=message) as failure:
        read_run(tmp_path)
    assert str(failure.value).startswith(str(tmp_path))
    assert "\n" not in str(failure.value)


def test_folder_without_a_run(tmp_path: Path) -> None:
    assert records.read_study(tmp_path) == []
    with pytest.raises(RecordError, match=r"no config\.yaml, so this is not a run directory"):
        read_run(tmp_path)


def test_study_is_its_runs_by_name(tmp_path: Path) -> None:
    for name in ("plain-8-s1", "plain-8-s0", "residual-8-s0"):
        write(tmp_path / "runs" / name, [{"iteration": 1}])
    (tmp_path / "runs" / "started").mkdir()
    names = [run.name for run in records.read_study(tmp_path)]
    assert names == ["plain-8-s0", "plain-8-s1", "residual-8-s0"]


@pytest.mark.parametrize(
    ("name", "arm"),
    [("plain-56-s0", "plain-56"), ("plain-56-splitval-lr0.01-s12", "plain-56-splitval-lr0.01")],
)
def test_arm_is_the_name_without_the_seed(name: str, arm: str) -> None:
    assert records.arm_of(name) == arm
