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
) -> dict[str, Any]:
    """Median and range of one number's measurements, and whether the median meets its target."""
    median = statistics.median(values)
    found = {"median": median, "min": min(values), "max": max(values)}
    kept = {key: round(value, 3) for key, value in found.items()} | {"n": len(values), "unit": unit}
    if at_least is not None:
        return kept | {"target": f"at least {at_least:g}", "met": median >= at_least}
    if at_most is not None:
        return kept | {"target": f"at most {at_most:g}", "met": median <= at_most}
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
        met = {None: "", True: "met", False: "MISSED"}[number.get("met")]
        yield [name, median, span, number.get("target", ""), met]


def lines(part: Mapping[str, Any]) -> Iterator[str]:
    """The same for a terminal."""
    for name, median, *rest in rows(part):
        yield f"{name:<36} {median:>19}   {'; '.join(filter(None, rest))}"


def machine(name: str, environment: Mapping[str, Any]) -> str:
    """Where and with what a part was measured, in a line of Markdown."""
    packages, cores = environment["packages"], environment["cores"]
    dirty = " with changes" if environment["git_dirty"] else ""
    return (
        f"- `{name}`: {environment['device']}, {cores} cores, PyTorch {packages['torch']}, commit "
        f"{str(environment['git_commit'])[:7]}{dirty}"
    )
