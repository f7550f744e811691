"""The Weights & Biases mirror of a run's record.

The record (`metrics.jsonl`) is the truth. What stands here only repeats it, so nothing that goes
wrong in W&B may stop or change a run: each failure becomes one warning. Offline nothing leaves the
machine; `wandb leet <study>/wandb` shows the files.
"""

import configparser
import dataclasses
import logging
import netrc
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from degradation.config import Config, ConfigError

if TYPE_CHECKING:
    import wandb

Row = Mapping[str, float]

INIT_TIMEOUT_S = 30.0
"""A server that has not answered by then is taken to be away; the run is mirrored offline."""
FINISH_TIMEOUT_S = 120.0
"""How long the end of a run waits for the upload; what is left stays on disk for `wandb sync`."""

log = logging.getLogger(__name__)
_open: "list[Mirror]" = []
"""The runs of this process that W&B has not ended yet."""


def resolve_mode(mode: str) -> Literal["online", "offline", "off"]:
    """What `tracking.mode` means on this machine, found without network and without wandb.

    `auto` follows WANDB_MODE and `wandb offline`, else it is `online` when a key is at hand and
    `offline` when not. Raises ConfigError where online is asked for and there is no key; call it
    before anything is written.
    """
    settings = _user_settings()
    wish, asked_by = mode, "tracking.mode"
    if mode == "auto" and settings.get("mode"):
        wish, asked_by = settings["mode"], "WANDB_MODE"
    if wish in ("off", "disabled"):
        return "off"
    if wish in ("offline", "dryrun"):
        return "offline"
    if _has_key(settings):
        return "online"
    if wish == "auto":
        return "offline"
    raise ConfigError(
        f"{asked_by}: {wish!r}, but no Weights & Biases key was found; set WANDB_API_KEY or run "
        "`wandb login`, or choose auto, offline (both need no account) or off"
    )


class Mirror:
    """W&B's copy of one run. Without a `run`, or once W&B has failed, it does nothing."""

    def __init__(self, run: "wandb.Run | None" = None):
        self._run = run
        self.alive = run is not None
        if run:
            _open.append(self)

    def log(self, row: Row) -> None:
        """One line of the record, at step `iteration`; rows the server already has are not sent."""
        with self._harmless() as run:
            if run and row["iteration"] >= run.starting_step:
                # Without commit W&B keeps a row in memory until the next; a kill would lose it.
                run.log(dict(row), step=int(row["iteration"]), commit=True)

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """The numbers the run ended with; W&B adds the last value of each column by itself."""
        with self._harmless() as run:
            if run:
                run.summary.update(dict(summary))

    def finish(self, exit_code: int) -> None:
        """Ends the run in W&B, after a failure too: else it stays open until the process ends."""
        if self._run is None:
            return
        self.alive = True
        with self._harmless() as run:
            if run:
                run.finish(exit_code=exit_code)
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
) -> Iterator[Mirror]:
    """A run in W&B for the time of the block; if the block raises, W&B marks the run as failed.

    `rows_so_far` are the kept rows of a run that is continued. In the end W&B has the rows of the
    record: offline, this attempt's copy replaces the older ones; online, the server keeps the rows
    it has and gets those after them. Raises ConfigError like `resolve_mode`, and nothing else.
    """
    mode = resolve_mode(cfg.tracking.mode)
    if mode == "off":
        yield Mirror()
        return
    run_id = f"{cfg.experiment}-{cfg.preset}-{run_name}-{config_hash}"
    older = _offline_copies(study_dir, run_id)
    copy = _start(
        mode,
        study_dir,
        id=run_id,
        name=run_name,
        group=arm,
        tags=[cfg.model.kind, str(cfg.model.depth), cfg.preset, cfg.data.name],
        project=cfg.tracking.project,
        entity=cfg.tracking.entity,
        config=_public_config(cfg) | {"config_hash": config_hash, "git_commit": git_commit},
    )
    exit_code = 1
    try:
        for row in rows_so_far:
            copy.log(row)
        if copy.alive:
            for folder in older:
                shutil.rmtree(folder, ignore_errors=True)
        yield copy
        exit_code = 0
    finally:
        copy.finish(exit_code)


def _start(mode: Literal["online", "offline"], study_dir: Path, **identity: Any) -> Mirror:
    """Falls back from online to offline, and from there to a mirror that does nothing."""
    attempts: dict[Literal["online", "offline"], None] = {mode: None, "offline": None}
    for attempt in attempts:
        try:
            return Mirror(_init(attempt, study_dir, **identity))
        except Exception as error:
            log.warning("W&B cannot start %s; the run goes on: %s", attempt, _one_line(error))
            _release()
    return Mirror()


def _release() -> None:
    """Ends wandb's service once no run needs it, which waits until all is on the disk.

    `run.finish` returns earlier than that offline, and a worker of a process pool that then ends
    leaves an empty file. Ending it also frees the id of a run that could not start.
    """
    import wandb

    if _open or wandb.run is not None:  # the latter is a run the user has opened himself
        return
    try:
        wandb.teardown()
    except (Exception, SystemExit) as error:  # wandb exits where its service did not end well
        log.warning("W&B's service did not end well: %s", _one_line(error))


def _init(mode: Literal["online", "offline"], study_dir: Path, **identity: Any) -> "wandb.Run":
    # Read by the import and by wandb's service process: no error reports to wandb's makers.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    study_dir.mkdir(parents=True, exist_ok=True)
    settings = _settings()
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
    run.define_metric("iteration")
    run.define_metric("*", step_metric="iteration")
    if mode == "online":
        log.info("W&B: %s", run.url)
    return run


def _settings() -> "wandb.Settings":
    """Sends what is logged and no more: no code, git, packages, host name, paths, console, load."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        host="",
        program="degradation",
        disable_code=True,
        disable_git=True,
        save_code=False,
        label_disable=True,
        sagemaker_disable=True,
        symlink=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
        init_timeout=INIT_TIMEOUT_S,
        finish_timeout=FINISH_TIMEOUT_S,
    )


def _public_config(cfg: Config) -> dict[str, Any]:
    """The config without the places on this machine."""
    public = dataclasses.asdict(cfg)
    del public["output_root"], public["data"]["root"]
    return public


def _offline_copies(study_dir: Path, run_id: str) -> list[Path]:
    """Folders in which earlier attempts at this run were mirrored."""
    files = study_dir.glob("wandb/offline-run-*/run-*.wandb")
    return [file.parent for file in files if file.name == f"run-{run_id}.wandb"]


def _user_settings() -> dict[str, str]:
    """What `wandb login` and `wandb offline` wrote; the environment stands above it."""
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    parser = configparser.RawConfigParser()
    try:
        parser.read([folder / "settings", Path("wandb") / "settings"], encoding="utf-8")
        settings = dict(parser["default"])
    except (configparser.Error, KeyError, OSError, UnicodeDecodeError):
        settings = {}
    for name in ("mode", "api_key", "identity_token_file", "base_url"):
        if value := os.environ.get(f"WANDB_{name.upper()}"):
            settings[name] = value
    return settings


def _has_key(settings: Mapping[str, str]) -> bool:
    """A key that wandb would find by itself: in the settings or in the netrc file."""
    if settings.get("api_key") or settings.get("identity_token_file"):
        return True
    host = urlsplit(settings.get("base_url", "https://api.wandb.ai")).netloc
    names = [os.environ.get("NETRC") or "~/.netrc", "~/_netrc"]
    paths = [path for name in names if (path := Path(name).expanduser()).exists()]
    try:
        entry = netrc.netrc(paths[0]).authenticators(host) if paths else None
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        return False
    return bool(entry and entry[2])


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
