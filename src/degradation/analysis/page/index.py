"""The index over all studies, `index.html`: a card each, never without data set and preset."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from degradation.analysis.estimands import KINDS
from degradation.analysis.judge import Verdict
from degradation.analysis.page import render
from degradation.analysis.page.badges import MEANING, SIGNS, Badge, badge
from degradation.analysis.page.charts import kind_colours
from degradation.analysis.page.study import NETS, question_of, read_readme, title_of
from degradation.analysis.page.summary import ANSWERS, SCALE, Line

INDEX = "index.html"
FIRST = "depth_sweep"
"""The study that the others ask about."""


@dataclass(frozen=True)
class Entry:
    """A study's card."""

    title: str
    experiment: str
    preset: str
    data: str
    seeds: str
    """How many, and how many runs diverged; empty where it has no runs."""
    question: str
    found: list[Line]
    """Of depth, as its page says it; none where its claims are about something else."""
    badges: list[Badge]
    confidence: float
    link: str
    """To its page, or to its REPORT.md where that has not been written."""

    @property
    def counts(self) -> dict[str, int]:
        counts = Counter(badge.answer for badge in self.badges)
        return {answer: counts[answer] for answer in ANSWERS if counts[answer]}

    @property
    def is_first(self) -> bool:
        return self.experiment == FIRST


@dataclass(frozen=True)
class Unreported:
    """A folder with runs, but without answers."""

    name: str
    link: str
    """To the page that says why, if there is one."""
    reason: str
    """What is wrong with its answers; empty where it has none."""


def entry(
    folder: Path,
    verdict: Mapping[str, Any],
    verdicts: Sequence[Verdict],
    found: list[Line],
    *,
    link: str,
    repository: Path,
) -> Entry:
    """`verdict`: what its `verdict.json` holds."""
    experiment = verdict["experiment"]
    return Entry(
        title_of(experiment),
        experiment,
        verdict["preset"],
        verdict["data"],
        verdict.get("runs", ""),
        question_of(read_readme(folder.parent.name, repository)),
        found,
        list(map(badge, verdicts)),
        verdict["confidence"],
        link,
    )


def write_index_page(root: Path, entries: list[Entry], unreported: list[Unreported]) -> Path:
    total = Counter[str]()
    for each in entries:
        total.update(each.counts)
    return render.write(
        root / INDEX,
        "index.html",
        title="Results",
        entries=sorted(entries, key=lambda each: not each.is_first),
        total=total,
        answers=ANSWERS,
        signs=SIGNS,
        meaning=MEANING,
        nets=NETS,
        kind_colours={kind: kind_colours(kind) for kind in KINDS},
        scale=SCALE if any(each.preset == "quick" for each in entries) else "",
        unreported=unreported,
    )
