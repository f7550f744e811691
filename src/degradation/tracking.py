"""The Weights & Biases mirror of a run's record.

The record (`metrics.jsonl`) is the truth, so nothing that goes wrong in W&B may stop or change a
run: each failure becomes one warning. Offline nothing leaves the machine.
"""

import dataclasses
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from degradation import uploads, wandb_file
from degradation.account import resolve_mode
from degradation.config import Config

if TYPE_CHECKING:
    import wandb

Row = Mapping[str, float]
_Wandb = Literal["online", "offline"]

SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("disable_code", "disable_git", "x_disable_meta", "x_disable_stats"), True),
    **dict.fromkeys(("label_disable", "sagemaker_disable", "silent"), True),
    **dict.fromkeys(("save_code", "symlink", "x_save_requirements"), False),
    **{"console": "off", "host": "", "program": "degradation"},
    "init_timeout": 30.0,  # s; a server that is silent for so long is taken to be away
    "finish_timeout": 30.0,  # s; what is not sent by then `make sync` sends from the record
    "finish_timeout_raises": True,  # so that it is known
}
"""W&B gets what is logged and no more: no code, git, packages, host, paths, console, load."""

log = logging.getLogger(__name__)
_away: set[str] = set()
"""Servers that a run of this process could not be started on."""
_open: "list[Mirror]" = []
"""The runs of this process that W&B has not ended yet."""


class _Replaced(NamedTuple):
    older: set[Path]
    """Folders of W&B's copies so far."""
    newer: set[Path]
    """Of the copy that takes their place."""
    copy: "Mirror"
    online: bool
    """Its folder here then has only what the server had not."""


_replaced: list[_Replaced] = []


class _Told:
    """Hears what wandb, which is silent, would print."""

    fatal: ClassVar[list[str]] = []
    """After a fatal error wandb uploads no more, and ends as if it had."""

    def info(self, msg: str) -> None: ...

    def warning(self, msg: str) -> None:
        if "fatal error" in msg.lower():
            self.fatal.append(
                "the server refused it; has the key expired, or the run been deleted?"
            )

    error = warning


class Mirror:
    """W&B's copy of one run. Without a `run`, or once W&B has failed, it does nothing."""

    def __init__(self, run: "wandb.Run | None" = None, sync: str = "make sync"):
        self._run, self._sync = run, sync
        self.alive = run is not None
        self._fatal_before = len(_Told.fatal)
        self.rows = 0
        self.has_summary = False
        self.has_all = False
        """Whether W&B has taken all that there was, once the run has ended."""
        if run:
            _open.append(self)

    @property
    def url(self) -> str | None:
        """None offline."""
        return self._run.url if self._run else None

    def log(self, row: Row) -> None:
        """One line of the record, at step `iteration`; W&B drops steps the server already has."""
        with self._harmless() as run:
            if run:
                # Without commit W&B keeps a row in memory until the next; a kill would lose it.
                run.log(dict(row), step=int(row["iteration"]), commit=True)
                self.rows += 1

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """The numbers the run ended with; W&B adds the last value of each column by itself."""
        with self._harmless() as run:
            if run:
                run.summary.update(dict(summary))
                self.has_summary = True

    def finish(self, exit_code: int) -> None:
        """Ends the run in W&B, after a failure too: else it stays open until the process ends."""
        if self._run is None:
            return
        try:
            self._run.finish(exit_code=exit_code)
            fatal = _Told.fatal[self._fatal_before :]  # perhaps of a run beside this one
            self.has_all = self.alive and not fatal
        except Exception as error:
            fatal = [_one_line(error)]
        for reason in fatal[:1]:
            log.warning("W&B has not all of the run; `%s` uploads it later: %s", self._sync, reason)
        self._run, self.alive = None, False
        _open.remove(self)
        _release()

    @contextmanager
    def _harmless(self) -> Iterator["wandb.Run | None"]:
        try:
            yield self._run if self.alive else None
        except Exception as error:
            self.alive = False
            log.warning("W&B failed; the run goes on and keeps its record: %s", _one_line(error))


@contextmanager
def mirror(
    cfg: Config,
    *,
    run_name: str,
    arm: str,
    config_hash: str,
    study_dir: Path,
    rows_so_far: Sequence[Row] = (),
    git_commit: str | None = None,
    falls_back: bool = True,
) -> Iterator[Mirror]:
    """A run in W&B for the time of the block; if the block raises, W&B marks the run as failed.

    `rows_so_far` are the kept rows of a run that is continued. In the end W&B has the rows of the
    record: offline, this attempt's copy replaces the older ones; online, the server keeps the rows
    it has and gets those after them. Where the server cannot be had it is offline too; without
    `falls_back` that raises ConnectionError. Raises what `resolve_mode` raises, and nothing else.
    """
    mode = resolve_mode(cfg.tracking.mode)
    if mode == "off":
        yield Mirror()
        return
    config = dataclasses.asdict(cfg) | {"config_hash": config_hash, "git_commit": git_commit}
    del config["output_root"], config["data"]["root"]  # places on this machine
    our_id = id_of(cfg, run_name, config_hash)
    run_id = _id_in_wandb(study_dir, our_id)
    older = _folders(study_dir, our_id) | _folders(study_dir, run_id)
    copy = _start(
        [mode, "offline"] if falls_back else [mode],
        study_dir,
        run_id,
        falls_back,
        name=_short(run_name),
        group=_short(arm),
        tags=[cfg.model.kind, str(cfg.model.depth), cfg.preset, cfg.data.name],
        project=cfg.tracking.project,
        entity=cfg.tracking.entity,
        config=config,
    )
    newer = (_folders(study_dir, our_id) | _folders(study_dir, run_id)) - older
    note = uploads.Note(run_id, copy.url) if copy.url else None
    exit_code = 1
    try:
        _keep(study_dir, our_id, note)
        for row in rows_so_far:
            copy.log(row)
        if copy.alive and older:
            _replaced.append(_Replaced(older, newer, copy, note is not None))
        yield copy
        exit_code = 0
    finally:
        copy.finish(exit_code)
        copy.has_all &= bool(note) or _is_whole(newer, copy)
        if copy.has_all and note:
            ended = copy.has_summary
            _keep(study_dir, our_id, dataclasses.replace(note, rows=copy.rows, ended=ended))


def id_of(cfg: Config, run_name: str, config_hash: str) -> str:
    """The run's in W&B, without characters that W&B does not take."""
    name = f"{cfg.experiment}-{cfg.preset}-{run_name}-{config_hash}"
    return _short(re.sub("[:;,#?/']", "_", name))


def _short(name: str) -> str:
    """As it is up to 128 characters, more than which W&B does not take; others stay different."""
    if len(name) <= 128:
        return name
    return f"{name[:119]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def agents_id() -> str | None:
    """The id that W&B's agent has chosen for the run of this process, if one has started it. The
    sweep knows the run by it, and wandb takes no other.
    """
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def _id_in_wandb(study_dir: Path, our_id: str) -> str:
    """An agent's stays the run's also where it is continued without the agent."""
    note = uploads.read(study_dir, our_id)
    return agents_id() or (note.id if note else our_id)


def _keep(study_dir: Path, our_id: str, note: uploads.Note | None) -> None:
    try:
        if note:
            uploads.write(study_dir, our_id, note)
    except OSError as error:
        log.warning("W&B: no note of the upload: %s", _one_line(error))


def _start(
    modes: Sequence[_Wandb], study_dir: Path, run_id: str, falls_back: bool, **identity: Any
) -> Mirror:
    """In the first mode that can be had, else a mirror that does nothing. Where the server could
    not be had once, the other runs of this process do not wait for it again.
    """
    server = os.environ.get("WANDB_BASE_URL", "")
    for mode in dict.fromkeys(modes):
        if mode == "online" and falls_back and server in _away:
            continue
        before = _folders(study_dir, run_id)
        try:
            return Mirror(_init(mode, study_dir, id=run_id, **identity), sync_command(study_dir))
        except Exception as error:
            _release()
            for folder in _folders(study_dir, run_id) - before:
                shutil.rmtree(folder, ignore_errors=True)
            if not falls_back:
                raise ConnectionError(f"W&B cannot start {mode}: {_one_line(error)}") from None
            _away.update([server] if mode == "online" else [])
            later = f", and `{sync_command(study_dir)}` uploads it later" * (mode == "online")
            log.warning("W&B cannot start %s; the run goes on%s: %s", mode, later, _one_line(error))
    return Mirror()


def sync_command(study_dir: Path) -> str:
    """What uploads a study later."""
    return f"make sync EXPERIMENT={study_dir.parent.name} PRESET={study_dir.name}"


def _release() -> None:
    """Ends wandb's service once no run needs it, which waits until all is on the disk.

    `run.finish` returns earlier: a pool's worker that ends right then would leave an empty file.
    It also frees the id of a run that could not start.
    """
    try:
        import wandb

        if not _open and wandb.run is None:  # a run that the user opened would end as well
            wandb.teardown()
            _remove_replaced()
    except (Exception, SystemExit) as error:  # wandb exits where its service did not end well
        log.warning("W&B's service did not end well: %s", _one_line(error))


def _remove_replaced() -> None:
    """Once the new copies are on the disk, or the server has taken all."""
    while _replaced:
        older, newer, copy, online = _replaced.pop()
        if copy.has_all if online else _is_whole(newer, copy):
            for folder in older:
                shutil.rmtree(folder, ignore_errors=True)
        elif not online:
            names = ", ".join(folder.name for folder in newer)
            log.warning("W&B's files lack rows, as on a full disk; the older ones stay: %s", names)


def _is_whole(folders: Iterable[Path], copy: Mirror) -> bool:
    """Whether W&B's file has all the rows that it was given."""
    files = [file for folder in folders for file in folder.glob("*.wandb")]
    return sum(map(wandb_file.rows, files)) >= copy.rows


def _init(mode: _Wandb, study_dir: Path, **identity: Any) -> "wandb.Run":
    # No error reports to wandb's makers; read by the import and by wandb's service process.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    study_dir.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(**SETTINGS)
    logging.raiseExceptions = False  # wandb's own log file on a full disk is no news for the user
    wandb.setup(settings)  # silent from the first line on; runs of one process share one service
    run = wandb.init(
        mode=mode,
        dir=study_dir,
        job_type="train",
        reinit="create_new",  # by default a second run in this process is merged into the first
        resume="allow" if mode == "online" else None,
        settings=settings,
        **identity,
    )
    wandb.termsetup(settings, _Told())
    run.define_metric("iteration")
    run.define_metric("*", step_metric="iteration")
    if mode == "online" and uploads.is_untold(study_dir):
        print(f"W&B: {run.url}", flush=True)
    return run


def _folders(study_dir: Path, run_id: str) -> set[Path]:
    """wandb's folders of this run; other runs may add and remove theirs meanwhile."""
    name = re.compile(rf"(offline-)?run-\d+_\d+-{re.escape(run_id)}(-\d+)?")
    folder = study_dir / "wandb"
    found = folder.iterdir() if folder.is_dir() else ()
    return {entry for entry in found if name.fullmatch(entry.name)}


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
