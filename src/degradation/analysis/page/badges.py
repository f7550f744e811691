"""Verdicts as the page shows them, from the judge or from a `verdict.json`."""

from collections.abc import Mapping
from dataclasses import dataclass

from degradation.analysis import tables
from degradation.analysis.claims import EQUIVALENCE, EXACT, NON_INFERIORITY, SUPERIORITY
from degradation.analysis.estimands import ERRORS
from degradation.analysis.judge import INCONCLUSIVE, NOT_JUDGED, REFUTED, SUPPORTED, Verdict

SIGNS = {SUPPORTED: "\u2713", REFUTED: "\u2717", INCONCLUSIVE: "?", NOT_JUDGED: "\u2013"}
"""So that nothing rests on colour alone."""
_THRESHOLDS = {SUPERIORITY: "above", NON_INFERIORITY: "below", EQUIVALENCE: "within \u00b1"}


@dataclass(frozen=True)
class Badge:
    """One claim and its answer, in words."""

    id: str
    answer: str
    sentence: str
    estimate: str
    """With its unit; empty where there is none."""
    interval: str
    threshold: str
    n: str
    notes: tuple[str, ...]
    estimand: str
    power: str
    source: str
    paper: str

    @property
    def sign(self) -> str:
        return SIGNS[self.answer]


def badge(verdict: Verdict) -> Badge:
    unit = _unit(verdict)
    interval = ""
    if verdict.interval:
        low, high = map(tables.number, verdict.interval)
        interval = f"{low} to {high}"
    power = ", ".join(f"{p:.0%} with {n} seeds" for n, p in verdict.power.items())
    return Badge(
        verdict.id,
        verdict.answer,
        verdict.sentence,
        f"{tables.number(verdict.estimate)}{unit}" if verdict.estimate is not None else "",
        interval,
        f"{_THRESHOLDS.get(verdict.type, 'exactly')} {tables.number(verdict.margin)}",
        _counts(verdict.n),
        tuple(tables.notes(verdict)),
        verdict.estimand,
        power,
        verdict.source,
        verdict.paper,
    )


def _unit(verdict: Verdict) -> str:
    """Of estimands in errors or iterations; other measurements have each their own."""
    if verdict.type == EXACT:
        return ""
    if "iterations_to" in verdict.estimand:
        return " iterations"
    return " points" if any(name in verdict.estimand for name in ERRORS) else ""


def _counts(n: Mapping[str, int]) -> str:
    """`5` where all arms have as many runs, else the fewest and the most."""
    counts = sorted(set(n.values()))
    return f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))
