"""The index over all studies, `index.html`: one line each, never without data set and preset."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from degradation.analysis.page import render
from degradation.analysis.page.badges import SIGNS
from degradation.analysis.page.study import PAGE, question_of, read_readme, title_of
from degradation.analysis.page.summary import ANSWERS

INDEX = "index.html"
FIRST = "depth_sweep"
"""The study that the others ask about."""


@dataclass(frozen=True)
class Entry:
    """A study's line."""

    title: str
    experiment: str
    preset: str
    data: str
    seeds: str
    question: str
    counts: dict[str, int]
    link: str
    """To its page, or to its REPORT.md where that has not been written."""


def entry(folder: Path, results: Path, verdict: dict[str, Any], repository: Path) -> Entry:
    """`verdict`: what its `verdict.json` holds."""
    name = folder.relative_to(results).as_posix()
    counts = Counter(claim["answer"] for claim in verdict["claims"])
    by_arm = verdict.get("seeds")
    found = by_arm.values() if isinstance(by_arm, dict) else ()
    seeds = sorted({len(of_arm) for of_arm in found if isinstance(of_arm, list)})
    return Entry(
        title_of(verdict["experiment"]),
        verdict["experiment"],
        verdict["preset"],
        verdict["data"],
        " to ".join(map(str, (seeds[0], seeds[-1]) if len(seeds) > 1 else seeds)),
        question_of(read_readme(folder.parent.name, repository)),
        {answer: counts[answer] for answer in ANSWERS if counts[answer]},
        f"{name}/{PAGE if (folder / PAGE).exists() else 'REPORT.md'}",
    )


def write_index_page(results: Path, entries: list[Entry], unreported: list[str]) -> Path:
    """`unreported`: folders with runs but without a verdict."""
    total = Counter[str]()
    for each in entries:
        total.update(each.counts)
    return render.write(
        results / INDEX,
        "index.html",
        title="Results",
        entries=sorted(entries, key=lambda each: each.experiment != FIRST),
        total=total,
        answers=ANSWERS,
        signs=SIGNS,
        unreported=unreported,
    )
