"""`degradation-doctor`: one page on this machine (`make doctor`). Nothing is changed, downloaded
or sent.
"""

import argparse
import importlib
import io
import sys
from collections.abc import Iterator

from rich.console import Console

from degradation.doctor.page import NOTE, PROBLEM, Line, looked, show
from degradation.doctor.plan import Asked

PARTS = ("versions", "machine", "study", "cluster", "runs", "mirrors")
"""Modules with a `look`, each loaded when its turn comes: one of them may not load."""


def lines(asked: Asked) -> Iterator[Line]:
    for part in PARTS:
        yield from looked(
            part,
            lambda: importlib.import_module(f"degradation.doctor.{part}").look(asked),  # noqa: B023
        )


def examine(asked: Asked) -> int:
    """Shows the page; 1 where something would stop the study, else 0."""
    console = Console()
    found = []
    for line in lines(asked):
        show(line, console)
        found.append(line.state)
    problems, notes = found.count(PROBLEM), found.count(NOTE)
    end = "would not get through" if problems else "could start now"
    print(f"{asked.name}: {end} (problems: {problems}, notes: {notes})")
    return 1 if problems else 0


def _override(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError(
            f"{text!r}; accepted: key=value, as `degradation` takes it"
        )
    return text


def main() -> None:
    """Exit status 0 when the study could start now, 1 when something named would stop it."""
    parser = argparse.ArgumentParser(prog="degradation-doctor", description=__doc__)
    parser.add_argument("--experiment", default="depth_sweep")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seeds", default="", help="for example 0,1,2; default: the experiment's")
    parser.add_argument("--data-root", default="", help="folder that holds cifar-10-batches-py/")
    parser.add_argument("overrides", nargs="*", type=_override, metavar="key=value")
    given = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of folders may be any bytes
    preset, overrides = given.preset or "quick", tuple(given.overrides)
    asked = Asked(given.experiment, preset, given.seeds, given.data_root, overrides)
    try:
        sys.exit(examine(asked))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
