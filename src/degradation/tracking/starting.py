"""The start of a run in W&B: what wandb is told, and whether its server is there at all."""

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from degradation import lines
from degradation.tracking import account, uploads

if TYPE_CHECKING:
    import wandb

Wandb = Literal["online", "offline"]

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
CONNECT_S, ANSWER_S = 5.0, 10.0
"""How long the first question to a server waits; it may be answered with an error."""
REFUSED_S = 3.0
"""How long a server that refuses is asked again, as one does that is being restarted."""

_why_away: dict[str, str] = {}
"""By server: what it said, or nothing of one that is there. For each it is found out once."""


class Told:
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


def init(mode: Wandb, study_dir: Path, **identity: Any) -> "wandb.Run":
    """Raises what wandb raises, and ConnectionError, much sooner, where the server is away."""
    if mode == "online":
        ask()
    # No error reports to wandb's makers; read by the import and by wandb's service process.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    study_dir.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(**SETTINGS)
    # wandb's own log file on a full disk is no news for the user; for good, since wandb's threads
    # write to it until the process ends. Python only prints less: no error of a run is lost by it.
    logging.raiseExceptions = False
    wandb.setup(settings)  # silent from the first line on; runs of one process share one service
    began = time.monotonic()
    try:
        run = wandb.init(
            mode=mode,
            dir=study_dir,
            job_type="train",
            reinit="create_new",  # by default a second run in this process is merged into the first
            resume="allow" if mode == "online" else None,
            settings=settings,
            **identity,
        )
    except Exception as error:
        if mode == "online" and time.monotonic() - began >= SETTINGS["init_timeout"]:
            _why_away[account.server()] = type(error).__name__  # so that no other run waits for it
        raise  # what is refused at once says nothing of the others
    wandb.termsetup(settings, Told())
    run.define_metric("iteration")
    run.define_metric("*", step_metric="iteration")
    if mode == "online" and uploads.is_untold(study_dir):
        lines.say(f"W&B: {run.url}")
    return run


def ask() -> None:
    """Raises ConnectionError where nobody is at the server's address; any answer is one."""
    server = account.server()
    if server not in _why_away:
        _why_away[server] = _asked(server)
    if reason := _why_away[server]:
        raise ConnectionError(f"W&B's server {server}: {reason}")


def is_away() -> bool:
    """As far as this process knows."""
    return bool(_why_away.get(account.server()))


def _asked(server: str) -> str:
    import requests

    until, timeouts = time.monotonic() + REFUSED_S, (CONNECT_S, ANSWER_S)
    with requests.Session() as session:
        session.auth = lambda request: request  # else the key in the netrc file would go along
        while True:
            try:
                session.get(server, timeout=timeouts, stream=True, allow_redirects=False).close()
                return ""
            except requests.Timeout:
                return "no answer"
            except requests.exceptions.SSLError:
                return ""  # it is there, and wandb says what is wrong
            except requests.ConnectionError:
                if time.monotonic() > until:
                    return "no connection"
            except requests.RequestException:
                return ""  # no address, as wandb says too
            time.sleep(0.25)
