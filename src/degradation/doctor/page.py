"""The lines of the page, and how they are shown."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

OK, NOTE, PROBLEM = "ok", "note", "problem"
"""As it should be; good to know; would stop the study."""
ELSEWHERE = "outputs as a link to another folder, or `degradation ... output_root=<folder>`"
"""Advice where a study cannot stay where it would lie."""
STYLES = {OK: "green", NOTE: "yellow", PROBLEM: "bold red"}


@dataclass(frozen=True)
class Line:
    """One finding."""

    state: str
    subject: str
    found: str
    advice: str = ""
    """What to do about it."""


def looked(subject: str, look: Callable[[], Iterable[Line]]) -> Iterator[Line]:
    """The lines of a look; what it raises becomes its last: the machine may be broken in any way,
    and the other looks are still wanted.
    """
    try:
        yield from look()
    except Exception as error:
        yield Line(PROBLEM, subject, f"cannot be looked at: {type(error).__name__}: {flat(error)}")


def flat(text: object) -> str:
    """On one line."""
    return " ".join(str(text).split())


def listed(names: Iterable[str], most: int = 4) -> str:
    """The first of them, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def gib(size: float) -> str:
    """1.5 GiB, 34 MiB, 12 KiB."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            digits = 0 if size >= 10 * unit else 1
            return f"{size / unit:.{digits}f} {name}"
    return f"{size / 2**10:.0f} KiB"


def show(line: Line, console: Console) -> None:
    """In columns and colour on a terminal, elsewhere as one plain line."""
    if not console.is_terminal:
        advice = f" -> {line.advice}" if line.advice else ""
        print(f"{line.state:<8} {line.subject}: {line.found}{advice}", flush=True)
        return
    row = Table.grid(padding=(0, 1))
    for width in (7, 10):
        row.add_column(width=width, no_wrap=True)
    text = Text(line.found, overflow="fold")
    if line.advice:
        text.append(f"\n-> {line.advice}", STYLES[line.state])
    row.add_row(Text(line.state, STYLES[line.state]), Text(line.subject, "bold"), text)
    console.print(row)
