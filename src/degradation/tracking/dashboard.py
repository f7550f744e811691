"""`make dashboard`: a study's curves in the terminal, by `wandb leet`, plain beside residual.

leet lists runs by the names of their folders, and of wandb's (`offline-run-20260101_120000-...`) it
has room for what all have in common. So it is shown links, with the runs' own names. It opens on
one run: a run of each other arm is selected as a user would do it. (From 0.31 on wandb's leet has
the setting `selected_runs`, which will do instead; requirements.in says why that is not here yet.)
"""

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from degradation import records
from degradation.config import ConfigError
from degradation.tracking import inner_terminal, uploads
from degradation.watch.table import shortened

LOOK_EVERY_S = 2.0
"""For runs that begin while it is open."""
CHARTS = "_(error_pct|loss)/"
"""Those that it opens on, the curves by kind. It stands in leet's last line, before `h: help`."""
NOTE = "each chart has a y axis of its own; [ shows which colour is which run, h helps, q quits"
"""On the lines that are back when it is closed; leet has no setting for the axes."""
SETTINGS = {
    "workspace_metrics_grid": {"rows": 2, "cols": 2},  # the kinds side by side
    "workspace_overview_visible": False,
}
NO_REPORTS = {"WANDB_ERROR_REPORTING": "false"}
DOWN, SELECT, HIDE = "s", " ", "["
"""Keys of leet's list."""
WIDE = 130
"""Columns below which there is no room for the list and the charts' titles."""
LISTED = r"Runs\S* \[({0} items?|\d+-\d+ of {0})\]"
"""The list's head, once all of so many runs are in it: keys typed before would select others."""


def show(study: Path) -> int:
    """The exit status of leet. Raises ConfigError without a terminal or anything to show."""
    if not files(study):
        raise ConfigError(
            f"{study / 'wandb'}: no W&B files; runs write them (but not with tracking=off), and "
            "`make mirror` makes them from records"
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("dashboard: needs a terminal")
    with (
        inner_terminal.noting_signals() as noted,
        tempfile.TemporaryDirectory(prefix="degradation-") as name,
    ):
        folder, columns = Path(name), shutil.get_terminal_size().columns
        state = {"metrics_filter": {"query": CHARTS}}
        (folder / ".wandb-leet.json").write_text(json.dumps(state))
        (folder / "wandb-leet.json").write_text(json.dumps(_own_settings() | SETTINGS))
        linked = link(study, folder, columns)
        typed = keys(linked) + HIDE * (columns < WIDE)
        command = [sys.executable, "-m", "wandb", "leet", str(folder)]
        own = dict.fromkeys(("WANDB_CONFIG_DIR", "TMPDIR"), name) | NO_REPORTS
        print(NOTE, flush=True)
        return inner_terminal.run(
            command,
            os.environ | own,
            keys=typed,
            until=LISTED.format(len(linked)).encode(),
            noted=noted,
            meanwhile=_followed(study, folder, columns),
        )


@contextlib.contextmanager
def _followed(study: Path, folder: Path, columns: int) -> Iterator[None]:
    """A block in which runs that begin are linked too."""
    closed = threading.Event()

    def follow() -> None:
        while not closed.wait(LOOK_EVERY_S):
            link(study, folder, columns)

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        yield
    finally:
        closed.set()
        follower.join()


def _own_settings() -> dict[str, object]:
    """The user's, such as colours."""
    place = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    try:
        found = json.loads((place / "wandb-leet.json").read_bytes())
    except (OSError, ValueError):
        found = {}
    return found if isinstance(found, dict) else {}


def keys(linked: Mapping[str, str]) -> str:
    """What selects the first run of each arm in the list, from its top, where leet has selected.

    linked: as `link` returns it.
    """
    typed, arms = "", set[str]()
    for place in sorted(linked):
        arm = records.arm_of(linked[place])
        typed += SELECT * (arm not in arms and bool(arms)) + DOWN
        arms.add(arm)
    return typed.rstrip(DOWN)


def link(study: Path, folder: Path, columns: int) -> dict[str, str]:
    """A folder with a link for each run. Returns the runs' names by the folders'; these are
    shortened to the room there is, unless that makes two alike.
    """
    found = files(study)
    room = min(max(int(0.382 * columns), 40), 120) - len(f"  {_place('')}...")  # of leet's list
    short = {name: shortened(name, room) for name in found}
    linked = {}
    for name, file in found.items():
        is_one = list(short.values()).count(short[name]) == 1
        shown = short[name] if is_one else name
        place = folder / f"{_place(name)}{shown}" / f"run-{shown}.wandb"
        linked[place.parent.name] = name
        new = folder / ".new"
        with contextlib.suppress(OSError):  # looked at again in a moment
            place.parent.mkdir(exist_ok=True)
            if not place.is_symlink() or place.readlink() != file:
                new.unlink(missing_ok=True)
                new.symlink_to(file)
                new.replace(place)
    for old in folder.glob("run-*"):
        if old.name not in linked:  # its short name is that of another one now, or it is gone
            shutil.rmtree(old, ignore_errors=True)
    return linked


def _place(name: str) -> str:
    """`run-00010000_000056-`: no real time where leet expects one, so that it sorts by name, that
    is by seed (`0001`), kind and depth.
    """
    match = re.match(r"(plain|residual)-(\d+)(?:-.+)?-s(\d+)$", name)
    kind, depth, seed = match.groups() if match else ("plain", 0, 0)
    number = (kind == "residual") * 100_000 + min(int(depth), 99_999)
    return f"run-{min(int(seed), 9_999):04}0000_{number:06}-"


def files(study: Path) -> dict[str, Path]:
    """wandb's files by the names of their runs; of several of a run the newest."""
    ours, prefix = uploads.our_ids(study), f"{study.parent.name}-{study.name}-"
    found = [
        (match[1], file.stem.removeprefix("run-"), file.parent.name, file.resolve())
        for file in (study / "wandb").glob("*run-*/run-*.wandb")
        if (match := re.match(r"(?:offline-)?run-(\d+_\d+)-", file.parent.name))
    ]
    return {
        _name(ours.get(run_id, run_id)).removeprefix(prefix): file
        for _, run_id, _, file in sorted(found)  # the second of a second has a folder `...-1`
    }


def _name(our_id: str) -> str:
    """Without the config's hash, where that is not all that tells it from others."""
    return our_id if len(our_id) >= 128 else re.sub("-[0-9a-f]{8}$", "", our_id)
