"""The Weights & Biases mirror of a run's record.

The record (`metrics.jsonl`) is the truth, so nothing that goes wrong in W&B may stop or change a
run: each failure becomes one warning. Offline nothing leaves the machine. The curves go to W&B
twice, as the record names them and as `train_error_pct/plain`: its charts show one set of runs, so
plain beside residual takes a key for each.
"""

import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degradation import measured
from degradation.config import Config
from degradation.tracking import run_folders, starting, uploads
from degradation.tracking.account import resolve_mode
from degradation.tracking.uploads import Row

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)
_open: "list[Mirror]" = []
"""The runs of this process that W&B has not ended yet."""


class Mirror:
    """W&B's copy of one run. Without a `run`, or once W&B has failed, it does nothing."""

    def __init__(
        self,
        run: "wandb.Run | None" = None,
        curves: Mapping[str, str] | None = None,
        sync: str = "make sync",
    ):
        """curves: what W&B gets a second time, by its name there; sync: what uploads it later."""
        self._run, self._curves, self._sync = run, curves or {}, sync
        self.alive = run is not None
        self._fatal_before = len(starting.Told.fatal)
        self.rows: list[Row] = []
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
                again = {name: row[key] for name, key in self._curves.items() if key in row}
                # Without commit W&B keeps a row in memory until the next; a kill would lose it.
                run.log({**row, **again}, step=int(row["iteration"]), commit=True)
                self.rows.append(row)

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
            fatal = starting.Told.fatal[self._fatal_before :]  # perhaps of a run beside this one
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
def of_run(
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
    `falls_back` that raises ConnectionError. Otherwise raises what `resolve_mode` raises alone.
    """
    mode = resolve_mode(cfg.tracking.mode)
    if mode == "off":
        yield Mirror()
        return
    config = dataclasses.asdict(cfg) | {"config_hash": config_hash, "git_commit": git_commit}
    del config["output_root"], config["data"]["root"]  # places on this machine
    our_id = id_of(cfg, run_name, config_hash)
    before = _note_before(study_dir, our_id, rows_so_far, mode)
    run_id = before.id
    older = run_folders.of(study_dir, our_id) | run_folders.of(study_dir, run_id)
    kind, curves = cfg.model.kind, measured.curves(config)
    copy = _start(
        [mode, "offline"] if falls_back else [mode],
        study_dir,
        run_id,
        {measured.by_kind(name, kind): key for name, key in curves.items()},
        falls_back,
        name=_short(run_name),
        group=_short(arm),
        tags=[kind, str(cfg.model.depth), cfg.preset, cfg.data.name],
        project=cfg.tracking.project,
        entity=cfg.tracking.entity,
        config=config,
    )
    newer = (run_folders.of(study_dir, our_id) | run_folders.of(study_dir, run_id)) - older
    note = dataclasses.replace(before, url=copy.url) if copy.url else None
    exit_code = 1
    try:
        _keep(study_dir, our_id, note)
        for row in rows_so_far:
            copy.log(row)
        if copy.alive and older:
            run_folders.replace(older, newer, copy, bool(note))
        yield copy
        exit_code = 0
    finally:
        copy.finish(exit_code)
        copy.has_all &= bool(note) or run_folders.hold(newer, len(copy.rows))
        if copy.has_all and note:
            whole = dataclasses.replace(note, rows=len(copy.rows), ended=copy.has_summary)
            digests = uploads.digests(copy.rows)
            _keep(study_dir, our_id, dataclasses.replace(whole, digests=digests))


def id_of(cfg: Config, run_name: str, config_hash: str) -> str:
    """The run's in W&B, without characters that W&B does not take."""
    name = f"{cfg.experiment}-{cfg.preset}-{run_name}-{config_hash}"
    return _short(re.sub("[:;,#?/']", "_", name))


def _short(name: str) -> str:
    """Cut to the 128 characters that W&B takes; a hash keeps longer names apart."""
    if len(name) <= 128:
        return name
    return f"{name[:119]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def agents_id() -> str | None:
    """The id that W&B's agent has chosen for the run of this process, if one has started it. The
    sweep knows the run by it, and wandb takes no other.
    """
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def _note_before(
    study_dir: Path, our_id: str, rows_so_far: Sequence[Row], mode: starting.Wandb
) -> uploads.Note:
    """What W&B has of the run, or nothing. An agent's id stays the run's also where it is continued
    without the agent; one that is made anew is another run there, which keeps what it has. Offline
    that is found out by its lines, once it is uploaded.
    """
    note = uploads.read(study_dir, our_id) or uploads.Note(our_id, "")
    begins_anew = mode == "online" and note.rows and not rows_so_far
    if begins_anew or not note.is_of(rows_so_far):
        again = note.again + 1
        note = uploads.Note(_short(f"{our_id}-again{again}"), "", again=again)
    return dataclasses.replace(note, id=agents_id() or note.id)


def _keep(study_dir: Path, our_id: str, note: uploads.Note | None) -> None:
    try:
        if note:
            uploads.write(study_dir, our_id, note)
    except OSError as error:
        log.warning("W&B: no note of the upload: %s", _one_line(error))


def _start(
    modes: Sequence[starting.Wandb],
    study_dir: Path,
    run_id: str,
    curves: Mapping[str, str],
    falls_back: bool,
    **identity: Any,
) -> Mirror:
    """In the first mode that can be had, else a mirror that does nothing. Where the server could
    not be had once, the other runs of this process do not wait for it again.
    """
    command = uploads.sync_command(study_dir)
    for mode in dict.fromkeys(modes):
        if mode == "online" and falls_back and starting.is_away():
            continue
        before = run_folders.of(study_dir, run_id)
        try:
            run = starting.init(mode, study_dir, id=run_id, **identity)
            return Mirror(run, curves, command)
        except Exception as error:
            _release()
            run_folders.remove(run_folders.of(study_dir, run_id) - before)
            reason = _one_line(error)
            if not falls_back:
                raise ConnectionError(f"W&B cannot start {mode}: {reason}") from None
            later = f", and `{command}` uploads it later" * (mode == "online")
            log.warning("W&B cannot start %s; the run goes on%s: %s", mode, later, reason)
    return Mirror()


def _release() -> None:
    """Ends wandb's service once no run needs it, which waits until all is on the disk.

    `run.finish` returns earlier: a pool's worker that ends right then would leave an empty file.
    It also frees the id of a run that could not start.
    """
    try:
        import wandb

        if not _open and wandb.run is None:  # a run that the user opened would end as well
            wandb.teardown()
            run_folders.remove_replaced()
    except (Exception, SystemExit) as error:  # wandb exits where its service did not end well
        log.warning("W&B's service did not end well: %s", _one_line(error))


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
