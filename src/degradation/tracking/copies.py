"""W&B's copies of a study's runs, made from their records: anew on the disk (`make mirror`), or on
the server (`make sync`).
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock

from degradation import config, locks, records
from degradation.config import Config, ConfigError
from degradation.records import Run
from degradation.tracking import account, mirror, starting, uploads


def mirror_study(study: Path) -> int:
    """W&B's files of a study anew, of its runs in results/ if it has no others; the exit status, 0
    if all runs are then there. Raises ConfigError where there are no runs.
    """
    run_dirs = runs_of(study, Path("results", *study.parts[-2:]))
    mirrored = 0
    for run_dir in run_dirs:
        with _read_alone(run_dir) as run:
            mirrored += bool(run and copy_run(run, study, "offline"))
    print(f"{mirrored} of {len(run_dirs)} runs in {study / 'wandb'}")
    return 0 if mirrored == len(run_dirs) else 1


def sync_study(study: Path) -> int:
    """Uploads what the server has not, and returns the exit status: 0 if it then has all.

    Raises ConfigError where there are no runs or no key, and ConnectionError where the server is
    away; of a run that it refuses there is a line.
    """
    run_dirs = runs_of(study)
    if not account.has_key():
        raise ConfigError(account.NO_KEY)
    uploads.tell_anew(study)
    had = sent = 0
    for run_dir in run_dirs:
        with _read_alone(run_dir) as run:
            had += (has := bool(run and _is_uploaded(run, study)))
            sent += bool(run and not has and _send(run, study))
    print(f"{sent} of {len(run_dirs)} runs uploaded, {had} had been: {uploads.project_url(study)}")
    return 0 if had + sent == len(run_dirs) else 1


def _send(run: Run, study: Path) -> bool:
    try:
        return copy_run(run, study, "online")
    except ConnectionError as error:
        if starting.is_away():
            raise
        print(f"error: {run.name}: {error}", file=sys.stderr)
        return False


def runs_of(*places: Path) -> Sequence[Path]:
    """The runs in the first of a study's folders that has some."""
    found = next(filter(None, (list(records.run_dirs(place)) for place in places)), None)
    if found is None:
        name, where = "/".join(places[0].parts[-2:]), " or ".join(map(str, places))
        raise ConfigError(f"{name}: no runs in {where}")
    return found


def copy_run(run: Run, study: Path, mode: str) -> bool:
    """Whether W&B has taken all of it; `online` raises ConnectionError where it takes nothing."""
    cfg = _config(run)
    cfg.tracking.mode = mode
    with mirror.of_run(
        cfg,
        run_name=run.name,
        arm=run.arm,
        config_hash=config.config_hash(cfg),
        study_dir=study,
        rows_so_far=run.rows,
        git_commit=run.environment.get("git_commit"),
        falls_back=False,
    ) as copy:
        if run.summary:
            copy.summarize(run.summary)
    return copy.has_all


def show_sweep(run_dir: Path, cfg: Config) -> None:
    """Uploads a run that has ended already when a W&B agent asks for it: the sweep would otherwise
    take it for crashed. Raises ConnectionError.
    """
    if mirror.agents_id() and account.resolve_mode(cfg.tracking.mode) == "online":
        copy_run(records.read_run(run_dir), config.study_dir(cfg), "online")


@contextlib.contextmanager
def _read_alone(run_dir: Path) -> Iterator[Run | None]:
    """None, and a line, while a process trains it, which writes W&B's copy itself, and where its
    record is damaged.
    """
    lock = run_dir / locks.LOCK
    try:
        with (
            filelock.FileLock(lock, timeout=locks.PATIENCE_S)
            if lock.exists()
            else contextlib.nullcontext()
        ):
            yield _read(run_dir)
    except filelock.Timeout:
        print(f"{run_dir}: {locks.AT_WORK}")
        yield None


def _read(run_dir: Path) -> Run | None:
    try:
        return records.read_run(run_dir)
    except records.RecordError as error:
        print(f"error: {error}", file=sys.stderr)
        return None


def _is_uploaded(run: Run, study: Path) -> bool:
    cfg = _config(run)
    note = uploads.read(study, mirror.id_of(cfg, run.name, config.config_hash(cfg)))
    is_whole = note and (note.rows, note.ended) == (len(run.rows), run.summary is not None)
    return bool(note and is_whole and note.is_of(run.rows))


def _config(run: Run) -> Config:
    return config.from_dict(run.config)
