"""The record of a run: the one place that writes and reads it.

A run directory holds `config.yaml`, `metrics.jsonl` (one object a line, flushed and fsynced),
`environment.json` and, once the run has ended, `summary.json`. The record is the truth; everything
else (W&B, tables, figures) is made from it.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from degradation import plain
from degradation.plain import PlainError

SCHEMA = 1
FINISHED, DIVERGED = "finished", "diverged"
CONFIG, METRICS, SUMMARY, ENVIRONMENT = (
    "config.yaml",
    "metrics.jsonl",
    "summary.json",
    "environment.json",
)

Row = dict[str, float]
"""One line of `metrics.jsonl`: `iteration`, `epoch`, `lr`, `wall_s`, `images_per_s` and
measurements; errors in percent.
"""


class RecordError(ValueError):
    """A record that cannot be read or continued; the message names the file."""


@dataclass
class Run:
    """A run as read from its directory."""

    name: str
    """For example `plain-56-s0`; `name` without the seed is the arm."""
    config: dict[str, Any]
    rows: list[Row]
    summary: dict[str, Any] | None = None
    """None while the run has not ended."""
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def arm(self) -> str:
        return arm_of(self.name)

    @property
    def status(self) -> str:
        return str(self.summary["status"]) if self.summary else "unfinished"

    def curve(self, key: str) -> tuple[list[int], list[float]]:
        """Iterations and values of the rows that have `key`."""
        points = [(int(row["iteration"]), row[key]) for row in self.rows if key in row]
        return [x for x, _ in points], [y for _, y in points]


def arm_of(run_name: str) -> str:
    """`plain-56-lr0.01-s2` -> `plain-56-lr0.01`."""
    return run_name.rpartition("-s")[0]


def write_atomically(path: Path, data: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the folder: `path` holds the old bytes or the new
    ones, never a part.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _naming(path), temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes renames in the folder survive a crash of the machine."""
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A write to a full disk fails without saying which file it was."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Raises ValueError for NaN and infinity, which JSON does not have."""
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


class Writer:
    """Appends to one run's record.

    `resume_at` is the iteration of the last line before the checkpoint that the run continues from,
    -1 if there was none: later lines, and a last line cut short, are dropped, because the continued
    run writes them again. None starts the record anew.
    """

    def __init__(
        self,
        run_dir: Path,
        config: Mapping[str, Any],
        environment: Mapping[str, Any],
        resume_at: int | None = None,
    ):
        run_dir.mkdir(parents=True, exist_ok=True)
        self.run_dir = run_dir
        kept: list[Row] = []
        if resume_at is not None:
            kept = [row for row in read_rows(run_dir / METRICS) if row["iteration"] <= resume_at]
            if resume_at >= 0 and (not kept or kept[-1]["iteration"] != resume_at):
                raise RecordError(
                    f"{run_dir / METRICS}: no line for iteration {resume_at}, the checkpoint's; "
                    "remove the run directory to start this run again"
                )
        before = None if resume_at is None else _read_json(run_dir / ENVIRONMENT)
        earlier = {"earlier": [*_earlier(before, run_dir), before]} if before else {}
        write_atomically(run_dir / CONFIG, yaml.safe_dump(dict(config), sort_keys=False).encode())
        write_json(run_dir / ENVIRONMENT, {**environment, **earlier})
        write_atomically(run_dir / METRICS, "".join(map(_line, kept)).encode())
        self.rows = kept
        self._file = (run_dir / METRICS).open("a", encoding="utf-8")

    def write(self, row: Row) -> None:
        """One more line, on the disk when this returns."""
        with _naming(self.run_dir / METRICS):
            self._file.write(_line(row))
            self._file.flush()
            os.fsync(self._file.fileno())
        self.rows.append(row)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json; from now on the run counts as ended."""
        write_json(self.run_dir / SUMMARY, {"schema": SCHEMA, **summary})

    def close(self) -> None:
        with _naming(self.run_dir / METRICS):  # what could not be written is tried once more
            self._file.close()


def _line(row: Row) -> str:
    assert all(math.isfinite(value) for value in row.values()), f"not finite: {row}"
    return json.dumps(row, allow_nan=False) + "\n"


def read_rows(path: Path) -> list[Row]:
    """The lines of a `metrics.jsonl`; a last line without its end is a write cut short and is not
    data.
    """
    return rows_of(path.read_bytes(), path) if path.exists() else []


def rows_of(content: bytes, path: Path, before: Sequence[Row] = ()) -> list[Row]:
    """The rows of a part of a `metrics.jsonl`; before: those that stand before it."""
    rows: list[Row] = []
    at = before[-1]["iteration"] if before else -1
    for number, line in enumerate(content.split(b"\n")[:-1], len(before) + 1):
        try:
            row = plain.json_of(line)
            is_row = all(map(plain.is_number, row.values())) and isinstance(row["iteration"], int)
        except (PlainError, KeyError, AttributeError):
            is_row = False
        if not is_row or row["iteration"] <= at:
            raise RecordError(f"{path}: line {number} is not a line of a record: {line[:60]!r}")
        at = row["iteration"]
        rows.append(row)
    return rows


def read_summary(run_dir: Path) -> dict[str, Any] | None:
    """What the run ended with, or None if it has not ended."""
    summary = _read_json(run_dir / SUMMARY)
    if summary is not None and summary.get("schema") != SCHEMA:
        raise RecordError(
            f"{run_dir / SUMMARY}: schema {summary.get('schema')!r}, this version reads {SCHEMA}"
        )
    if summary is not None and summary.get("status") not in (FINISHED, DIVERGED):
        found = summary.get("status")
        raise RecordError(
            f"{run_dir / SUMMARY}: status {found!r}; accepted: {FINISHED}, {DIVERGED}"
        )
    return summary


def _earlier(environment: dict[str, Any], run_dir: Path) -> list[Any]:
    """Takes out what is there of the processes before the last one. Raises RecordError."""
    found = environment.pop("earlier", [])
    if not isinstance(found, list):
        raise RecordError(f"{run_dir / ENVIRONMENT}: earlier: {found!r}; accepted: a list")
    return found


def how_far(run_dir: Path, iterations: int) -> str:
    """`finished`, `diverged`, `at 120 of 340` or `not begun`, for people."""
    if summary := read_summary(run_dir):
        return str(summary["status"])
    rows = read_rows(run_dir / METRICS)
    return f"at {rows[-1]['iteration']:,} of {iterations:,}" if rows else "not begun"


def read_config(run_dir: Path) -> dict[str, Any] | None:
    """The config a run directory was made for, or None if it holds no run."""
    path = run_dir / CONFIG
    if not path.exists():
        return None
    try:
        config = plain.yaml_of(path)
    except PlainError as error:
        raise RecordError(f"{path}: not a YAML mapping of plain values: {error}") from None
    if not isinstance(config, dict):
        raise RecordError(f"{path}: not a YAML mapping")
    return config


def read_run(run_dir: Path) -> Run:
    """Raises RecordError, naming the file, where a part of the record is missing or damaged."""
    config = read_config(run_dir)
    if config is None:
        raise RecordError(f"{run_dir}: no {CONFIG}, so this is not a run directory")
    return Run(
        name=run_dir.name,
        config=config,
        rows=read_rows(run_dir / METRICS),
        summary=read_summary(run_dir),
        environment=_read_json(run_dir / ENVIRONMENT) or {},
    )


def run_dirs(study_dir: Path) -> Iterator[Path]:
    """The run directories below `<study_dir>/runs`, by name."""
    runs = study_dir / "runs"
    if runs.is_dir():
        yield from sorted(path.parent for path in runs.glob(f"*/{CONFIG}"))


def read_study(study_dir: Path) -> list[Run]:
    """All runs of a study, ended or not, by name; an empty list where there are none."""
    return [read_run(path) for path in run_dirs(study_dir)]


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = plain.json_of(path.read_bytes())
    except PlainError as error:
        raise RecordError(f"{path}: not a JSON object of plain values: {error}") from None
    if not isinstance(content, dict):
        raise RecordError(f"{path}: not a JSON object")
    return content
