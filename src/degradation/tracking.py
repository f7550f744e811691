"""The Weights & Biases mirror of a run's record.

The record (`metrics.jsonl`) is the truth, so nothing that goes wrong in W&B may stop or change a
run: each failure becomes one warning. Offline nothing leaves the machine.
"""

import configparser
import dataclasses
import logging
import netrc
import os
import re
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
_Wandb = Literal["online", "offline"]

SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("disable_code", "disable_git", "x_disable_meta", "x_disable_stats"), True),
    **dict.fromkeys(("label_disable", "sagemaker_disable", "silent"), True),
    **dict.fromkeys(("save_code", "symlink", "x_save_requirements"), False),
    **{"console": "off", "host": "", "program": "degradation"},
    "init_timeout": 30.0,  # s; a server that is silent for so long is taken to be away
    "finish_timeout": 120.0,  # s; what is not sent by then stays on disk for `wandb sync`
}
"""W&B gets what is logged and no more: no code, git, packages, host, paths, console, load."""

log = logging.getLogger(__name__)
_open: "list[Mirror]" = []
"""The runs of this process that W&B has not ended yet."""


def resolve_mode(mode: str) -> _Wandb | Literal["off"]:
    """What `tracking.mode` means on this machine, found without network and without wandb.

    `auto` follows WANDB_MODE and `wandb offline`, and is `online` only when a key is at hand.
    Raises ConfigError for `online` without a key; call it before anything is written.
    """
    settings = _user_settings()
    wish = settings.get("mode", "auto") if mode == "auto" else mode
    if wish in ("off", "disabled"):
        return "off"
    if wish in ("offline", "dryrun"):
        return "offline"
    if _has_key(settings):
        return "online"
    if mode == "auto":
        return "offline"
    raise ConfigError(
        f"tracking.mode: found {mode!r}, but no Weights & Biases key; set WANDB_API_KEY or run "
        "`wandb login`, or choose auto, offline (both need no account) or off"
    )


def has_key() -> bool:
    """Whether a key is at hand, found as `resolve_mode` does."""
    return _has_key(_user_settings())


class Mirror:
    """W&B's copy of one run. Without a `run`, or once W&B has failed, it does nothing."""

    def __init__(self, run: "wandb.Run | None" = None):
        self._run = run
        self.alive = run is not None
        if run:
            _open.append(self)

    def log(self, row: Row) -> None:
        """One line of the record, at step `iteration`; W&B drops steps the server already has."""
        with self._harmless() as run:
            if run:
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
    it has and gets those after them. Raises what `resolve_mode` raises, and nothing else.
    """
    mode = resolve_mode(cfg.tracking.mode)
    if mode == "off":
        yield Mirror()
        return
    config = dataclasses.asdict(cfg) | {"config_hash": config_hash, "git_commit": git_commit}
    del config["output_root"], config["data"]["root"]  # places on this machine
    run_id = f"{cfg.experiment}-{cfg.preset}-{run_name}-{config_hash}"
    run_id = re.sub("[:;,#?/']", "_", run_id)  # what W&B does not take
    older = _folders(study_dir, run_id)
    copy = _start(
        mode,
        study_dir,
        run_id,
        name=run_name,
        group=arm,
        tags=[cfg.model.kind, str(cfg.model.depth), cfg.preset, cfg.data.name],
        project=cfg.tracking.project,
        entity=cfg.tracking.entity,
        config=config,
    )
    exit_code = 1
    try:
        for row in rows_so_far:
            copy.log(row)
        for folder in older if copy.alive else ():
            # An online run's folder stays: it may hold what could not be sent before.
            if folder.name.startswith("offline-"):
                shutil.rmtree(folder, ignore_errors=True)
        yield copy
        exit_code = 0
    finally:
        copy.finish(exit_code)


def _start(mode: _Wandb, study_dir: Path, run_id: str, **identity: Any) -> Mirror:
    """Falls back from online to offline, and from there to a mirror that does nothing."""
    attempts: tuple[_Wandb, ...] = ("online", "offline") if mode == "online" else ("offline",)
    for attempt in attempts:
        before = _folders(study_dir, run_id)
        try:
            return Mirror(_init(attempt, study_dir, id=run_id, **identity))
        except Exception as error:
            log.warning("W&B cannot start %s; the run goes on: %s", attempt, _one_line(error))
            _release()
            for folder in _folders(study_dir, run_id) - before:
                shutil.rmtree(folder, ignore_errors=True)
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
    except (Exception, SystemExit) as error:  # wandb exits where its service did not end well
        log.warning("W&B's service did not end well: %s", _one_line(error))


def _init(mode: _Wandb, study_dir: Path, **identity: Any) -> "wandb.Run":
    # No error reports to wandb's makers; read by the import and by wandb's service process.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    study_dir.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(**SETTINGS)
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
        print(f"W&B: {run.url}", flush=True)
    return run


def _folders(study_dir: Path, run_id: str) -> set[Path]:
    """wandb's folders of this run; other runs may add and remove theirs meanwhile."""
    name = re.compile(rf"(offline-)?run-\d+_\d+-{re.escape(run_id)}(-\d+)?")
    folder = study_dir / "wandb"
    found = folder.iterdir() if folder.is_dir() else ()
    return {entry for entry in found if name.fullmatch(entry.name)}


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
    path = os.environ.get("NETRC") or ("~/_netrc" if os.name == "nt" else "~/.netrc")
    try:
        entry = netrc.netrc(Path(path).expanduser()).authenticators(host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        return False
    return bool(entry and entry[2])


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
