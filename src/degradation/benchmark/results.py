"""Measured numbers: what is kept of them, where, and how they are shown."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from degradation.records import write_json

Part = dict[str, Any]
"""`environment`, and what was measured by name, each as made by `spread`."""


class ChildError(ValueError):
    """A measured command that failed; the message names it."""


def spread(
    values: Sequence[float],
    unit: str,
    at_least: float | None = None,
    at_most: float | None = None,
    stretch: float | None = None,
) -> dict[str, Any]:
    """Median and range of one number's measurements, and whether the median meets its target.

    stretch: a further target, of the same direction.
    """
    median = statistics.median(values)
    found = {"median": median, "min": min(values), "max": max(values)}
    kept = {key: round(value, 3) for key, value in found.items()} | {"n": len(values), "unit": unit}
    sign, word = (-1, "at most") if at_least is None else (1, "at least")
    target = at_most if at_least is None else at_least
    for name, met, limit in (("target", "met", target), ("stretch", "stretch_met", stretch)):
        if limit is not None:
            kept |= {name: f"{word} {limit:g}", met: sign * median >= sign * limit}
    return kept


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, so that what slows a round down slows both sides of its ratio."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def keep(path: Path, name: str, part: Part) -> None:
    """Replaces one part of the file and leaves the others, which tell their own commit."""
    parts = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, parts | {name: part})


def rows(part: Mapping[str, Any]) -> Iterator[list[str]]:
    """One for each number, to be read by people: name, median, range, target, whether it is met."""
    for name, number in part.items():
        if "median" not in number:
            continue
        median = f"{number['median']:.2f} {number['unit']}"
        span = f"{number['min']:.2f} to {number['max']:.2f}, n = {number['n']}"
        target, met = number.get("target", ""), {None: "", True: "met", False: "MISSED"}
        found = met[number.get("met")]
        if "stretch" in number:
            target += f", stretch {number['stretch']}"
            found += ", stretch too" if number["stretch_met"] else ""
        yield [name, median, span, target, found]


def headlines(part: Mapping[str, Any]) -> Part:
    """What has a target, what a step takes, and how near that is to the floor."""
    told = ("/step", "/achieved", "_over_floor")
    return {
        name: number for name, number in part.items() if "target" in number or name.endswith(told)
    }


def lines(part: Mapping[str, Any]) -> Iterator[str]:
    """The numbers for a terminal, and what is there as text (`lines`), which tables leave out."""
    width = max(36, *map(len, part))
    for name, median, *rest in rows(part):
        yield f"{name:<{width}} {median:>19}   {'; '.join(filter(None, rest))}"
    for name, entry in part.items():
        for line in entry.get("lines", ()):
            yield f"{name:<{width}} {line}"


def machine(name: str, environment: Mapping[str, Any]) -> str:
    """Where and with what a part was measured, in a line of Markdown."""
    packages, cores = environment["packages"], environment["cores"]
    dirty = " with changes" if environment["git_dirty"] else ""
    return (
        f"- `{name}`: {environment['device']}, {cores} cores, PyTorch {packages['torch']}, commit "
        f"{str(environment['git_commit'])[:7]}{dirty}"
    )
