"""Faults of the storage, injected into real runs: what was good stays, the user is told in a line,
and once the fault is mended the same command makes the run that nobody disturbed.
"""

import contextlib
import io
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.helpers import TINY, call, only_run, same_run, snapshot

from degradation import checkpoint, locks, records

RUN = (
    *("data=shapes", "tracking=off", *TINY),
    *("trainer.record_every=2", "trainer.checkpoint_every=6"),
)
RECORD = (records.CONFIG, records.ENVIRONMENT, records.METRICS, records.SUMMARY)
NEWEST, BEFORE = "checkpoint.pt", "checkpoint.previous.pt"


class NotHere(Exception):
    """This machine cannot have that fault; the message says why."""


@contextlib.contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Callable[..., None]]:
    """A disk of its own at a folder; what it yields remounts it with other options."""
    folder.mkdir(parents=True, exist_ok=True)

    def mount(*options: str) -> None:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "degradation-test", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise NotHere(f"no mount: {made.stderr.strip()}")

    mount(f"size={kib}k")
    try:
        yield lambda *options: mount("remount", *options)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def refused(folder: Path) -> None:
    """The command must fail, and say so in one line that names a file below the folder."""
    status, lines = told(folder)
    assert status == 2, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: "), lines
    assert "outputs" in lines[0], lines


def told(folder: Path) -> tuple[int, list[str]]:
    """Exit status of the command in that folder, and what it said on stderr."""
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(said):
        status = call(*RUN)
    return status, said.getvalue().splitlines()


def continued(folder: Path, reference: Path, *, warns: str = "") -> None:
    """The same command ends as if nothing had happened, after a warning where one is due."""
    status, lines = told(folder)
    assert status == 0, lines
    assert [warns in line for line in lines] == ([True] if warns else []), lines
    same_run(only_run(folder / "outputs"), only_run(reference / "outputs"))


def stopped(folder: Path, reference: Path) -> Path:
    """The run as a kill between two checkpoints leaves it, past the one at 12 of 20 steps."""
    shutil.copytree(reference, folder)
    run_dir = only_run(folder / "outputs")
    shutil.rmtree(run_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("degradation.records.Writer.write", _dying_write())
        with contextlib.suppress(KeyboardInterrupt):
            told(folder)
    assert {NEWEST, BEFORE} <= {path.name for path in run_dir.iterdir()}
    return run_dir


def _dying_write() -> Callable[..., None]:
    from degradation.records import Writer

    whole = Writer.write

    def write(self: Writer, row: dict[str, float]) -> None:
        whole(self, row)
        if row["iteration"] == 16:
            raise KeyboardInterrupt

    return write


# the faults: each is given a folder of its own and the undisturbed run's


def full_disk_at_any_write(folder: Path, reference: Path) -> None:
    """A disk that is full from the first write of a file on, for each file that a run writes; and
    of checkpoints a later one, and one that half fits.
    """
    run_dir = only_run(reference / "outputs")
    names = {path.name for path in run_dir.iterdir()} - {locks.LOCK, NEWEST} | {checkpoint.NEW}
    half = (run_dir / NEWEST).stat().st_size // 2
    hit = set()
    for name, count, left in (
        *((name, 1, 0) for name in sorted(names)),
        *((checkpoint.NEW, 3, 0), (checkpoint.NEW, 2, half)),
    ):
        here = folder / f"{name}-{count}"
        with small_disk(here, 4096):
            with full_from(here / "full", name, count, left):
                status, lines = told(here)
            assert (status, len(lines)) == (2, 1), (name, count, lines)
            assert "No space left on device" in lines[0], lines
            assert f"/{name}'" in lines[0], lines
            hit.add(name)
            continued(here, reference)
    assert hit == names == {*RECORD, checkpoint.NEW}


@contextlib.contextmanager
def full_from(filler: Path, name: str, count: int, left: int) -> Iterator[None]:
    """Fills the disk but for so many bytes, just before a file of that name is written for that
    time.
    """
    seen = 0

    def before(path: Path) -> None:
        nonlocal seen
        seen += path.name == name
        if seen == count and not filler.exists():
            with filler.open("wb", buffering=0) as file:
                with contextlib.suppress(OSError):
                    while file.write(bytes(4096)):
                        pass
                file.truncate(file.tell() - left)

    atomically, append = records.write_atomically, records.Writer.write

    def write(path: Path, data: bytes) -> None:
        if data:  # the empty record takes no room
            before(path)
        atomically(path, data)

    def write_row(self: records.Writer, row: records.Row) -> None:
        before(self.run_dir / records.METRICS)
        append(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("degradation.records.write_atomically", write)
        patch.setattr("degradation.checkpoint.write_atomically", write)
        patch.setattr("degradation.records.Writer.write", write_row)
        yield
    filler.unlink()


def read_only_folder(folder: Path, reference: Path) -> None:
    with small_disk(folder, 4096) as remount:
        remount("ro")
        refused(folder)
        remount("rw")
        continued(folder, reference)


def disk_turned_read_only(folder: Path, reference: Path) -> None:
    """As a file system does on its own after an error of the device."""
    with small_disk(folder, 4096) as remount:
        run_dir = stopped(folder / "work", reference)
        before = snapshot(run_dir)
        remount("ro")
        status, lines = told(folder / "work")
        assert status == 2, lines
        assert "Read-only file system" in lines[-1], lines
        assert snapshot(run_dir) == before
        remount("rw")
        continued(folder / "work", reference)


def checkpoint_cut_short(folder: Path, reference: Path) -> None:
    run_dir = stopped(folder, reference)
    content = (run_dir / NEWEST).read_bytes()
    for size in (0, 1, 100, len(content) // 2, len(content) - 1):
        (run_dir / NEWEST).write_bytes(content[:size])
        kept = snapshot(run_dir)
        copy = folder / f"cut-{size}"
        shutil.copytree(folder / "outputs", copy / "outputs")
        continued(copy, reference, warns="going on from checkpoint.previous.pt, iteration 6")
        assert snapshot(run_dir) == kept


def checkpoint_altered(folder: Path, reference: Path) -> None:
    """A bit, anywhere in it."""
    run_dir = stopped(folder, reference)
    content = (run_dir / NEWEST).read_bytes()
    for place in range(3, len(content), len(content) // 7):
        altered = bytearray(content)
        altered[place] ^= 1
        (run_dir / NEWEST).write_bytes(altered)
        copy = folder / f"bit-{place}"
        shutil.copytree(folder / "outputs", copy / "outputs")
        continued(copy, reference, warns="going on from checkpoint.previous.pt, iteration 6")


def both_checkpoints_damaged(folder: Path, reference: Path) -> None:
    run_dir = stopped(folder, reference)
    for name in (NEWEST, BEFORE):
        (run_dir / name).write_bytes(b"")
    before = snapshot(folder)
    refused(folder)
    assert snapshot(folder) == before
    shutil.rmtree(run_dir)  # what the line says
    continued(folder, reference)


def line_cut_short(folder: Path, reference: Path) -> None:
    run_dir = stopped(folder, reference)
    metrics = (run_dir / "metrics.jsonl").read_bytes()
    (run_dir / "metrics.jsonl").write_bytes(metrics[:-9])
    continued(folder, reference)


def record_shorter_than_the_checkpoint(folder: Path, reference: Path) -> None:
    run_dir = stopped(folder, reference)
    metrics = (run_dir / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run_dir / "metrics.jsonl").write_bytes(b"".join(metrics[:2]))
    before = snapshot(folder)
    refused(folder)
    assert snapshot(folder) == before


def killed_between_two_checkpoints_names(folder: Path, reference: Path) -> None:
    """The one before has its name already, and the newest not yet."""
    run_dir = stopped(folder, reference)
    (run_dir / NEWEST).replace(run_dir / "checkpoint.new.pt")
    continued(folder, reference)
    run_dir = stopped(folder / "again", reference)
    (run_dir / BEFORE).write_bytes(b"")  # so that nothing but the new one can be gone on from
    (run_dir / NEWEST).replace(run_dir / "checkpoint.new.pt")
    continued(folder / "again", reference)


def temporary_files_left(folder: Path, reference: Path) -> None:
    run_dir = stopped(folder, reference)
    for name in (".summary.json.123.tmp", ".metrics.jsonl.9.tmp", ".checkpoint.new.pt.7.tmp"):
        (run_dir / name).write_bytes(b'{"status": "fin')
    continued(folder, reference)


FAULTS = (
    full_disk_at_any_write,
    read_only_folder,
    disk_turned_read_only,
    checkpoint_cut_short,
    checkpoint_altered,
    both_checkpoints_damaged,
    line_cut_short,
    record_shorter_than_the_checkpoint,
    killed_between_two_checkpoints_names,
    temporary_files_left,
)


def make_reference(folder: Path) -> Path:
    """The undisturbed run."""
    folder.mkdir(parents=True)
    with contextlib.chdir(folder):
        assert call(*RUN) == 0
    return folder


def inject_all(folder: Path) -> dict[str, str]:
    """By its name what became of each: `survived`, `not here: ...` or `lost: ...`."""
    found = {}
    with contextlib.redirect_stdout(io.StringIO()):
        reference = make_reference(folder / "reference")
        for fault in FAULTS:
            try:
                fault(folder / fault.__name__, reference)
                found[fault.__name__] = "survived"
            except NotHere as why:
                found[fault.__name__] = f"not here: {why}"
            except AssertionError as wrong:
                found[fault.__name__] = f"lost: {wrong}"
    return found
