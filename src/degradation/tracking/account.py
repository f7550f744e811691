"""Whether there is a Weights & Biases account to go to, found without network and without wandb."""

import configparser
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from degradation.config import ConfigError

Mode = Literal["online", "offline", "off"]
NO_KEY = "W&B: no key here; `wandb login` asks for one and keeps it, or set WANDB_API_KEY"


def resolve_mode(mode: str) -> Mode:
    """What `tracking.mode` means on this machine.

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


def server() -> str:
    """The address that wandb would go to."""
    return _server(_user_settings())


def _server(settings: Mapping[str, str]) -> str:
    return settings.get("base_url", "https://api.wandb.ai")


def _user_settings() -> dict[str, str]:
    """What `wandb login` and `wandb offline` saved; environment variables go before it."""
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
    host = urlsplit(_server(settings)).netloc
    path = os.environ.get("NETRC") or ("~/_netrc" if os.name == "nt" else "~/.netrc")
    try:
        entry = netrc.netrc(Path(path).expanduser()).authenticators(host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        return False
    return bool(entry and entry[2])
