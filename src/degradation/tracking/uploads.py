"""What the W&B server has of a study's runs, noted in `<study>/wandb/server/`, a file a run.

So `make sync` need not ask the server, and a run whose id W&B's agent has chosen is found again.
"""

import contextlib
import dataclasses
import hashlib
import json
import operator
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from degradation import plain
from degradation.records import write_json

TOLD = ".told"
TIMES = ("wall_s", "images_per_s")

Row = Mapping[str, float]


@dataclass(frozen=True)
class Note:
    """Of one run."""

    id: str
    """W&B's."""
    url: str
    rows: int = 0
    """As many lines of the record as were there when an upload ended well."""
    ended: bool = False
    """Whether the record's end was."""
    digests: list[str] = dataclasses.field(default_factory=list)
    """Of each of those lines."""
    again: int = 0
    """How often the run has been made anew, after the server had had it to some end."""

    def is_of(self, rows: Sequence[Row]) -> bool:
        """Whether a record with these lines so far may be that of the run that was uploaded, and
        not of one that was made in its place.
        """
        return all(map(operator.eq, digests(rows), self.digests))


def digests(rows: Iterable[Row]) -> list[str]:
    """Of what was measured: made again, a run has other times and the same numbers."""
    return [
        hashlib.sha256(
            json.dumps({key: row[key] for key in sorted(row) if key not in TIMES}).encode()
        ).hexdigest()[:8]
        for row in rows
    ]


def write(study_dir: Path, our_id: str, note: Note) -> None:
    """our_id: the run's by its name and config, by which it is found again."""
    path = _path(study_dir, our_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, dataclasses.asdict(note))


def read(study_dir: Path, our_id: str) -> Note | None:
    """None where there is none that can be read; the server then says what it has."""
    return _note(_path(study_dir, our_id))


def our_ids(study_dir: Path) -> dict[str, str]:
    """Our ids of the runs by W&B's."""
    paths = (study_dir / "wandb" / "server").glob("*.json")
    return {note.id: path.stem for path in paths if (note := _note(path))}


def ended_ids(study_dir: Path) -> tuple[str, ...]:
    """W&B's of the runs that the server has to their end."""
    paths = (study_dir / "wandb" / "server").glob("*.json")
    return tuple(note.id for path in paths if (note := _note(path)) and note.ended)


def project_url(study_dir: Path) -> str | None:
    """Where the runs of a study are, if the server has any."""
    paths = sorted((study_dir / "wandb" / "server").glob("*.json"))
    urls = [note.url for note in map(_note, paths) if note]
    return urls[-1].partition("/runs/")[0] if urls else None


def sync_command(study_dir: Path) -> str:
    """What uploads a study later."""
    root, experiment, preset = study_dir.parts[:-2], study_dir.parent.name, study_dir.name
    if root == ("outputs",):
        return f"make sync EXPERIMENT={experiment} PRESET={preset}"
    words = ("python", "scripts/sync.py", f"--experiment={experiment}", f"--preset={preset}")
    return shlex.join([*words, f"output_root={study_dir.parent.parent}"])


def is_untold(study_dir: Path) -> bool:
    """True for the first process to ask after `tell_anew`."""
    path = study_dir / "wandb" / "server" / TOLD
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def tell_anew(study_dir: Path) -> None:
    """Forgets that the address was printed. An error is no matter: uploads would fail too."""
    with contextlib.suppress(OSError):
        (study_dir / "wandb" / "server" / TOLD).unlink()


def _path(study_dir: Path, our_id: str) -> Path:
    return study_dir / "wandb" / "server" / f"{our_id}.json"


def _note(path: Path) -> Note | None:
    try:
        note = Note(**plain.json_of(path.read_bytes()))
    except (OSError, plain.PlainError, TypeError):
        return None
    types = [type(value) for value in vars(note).values()]
    is_ours = types == [str, str, int, bool, list, int]
    is_ours = is_ours and all(isinstance(digest, str) for digest in note.digests)
    return note if is_ours and plain.is_text(note.id + note.url) else None
