"""Verdicts as the page shows them, from the judge or from a `verdict.json`."""

from collections.abc import Mapping
from dataclasses import dataclass

from degradation.analysis import tables
from degradation.analysis.claims import EQUIVALENCE, EXACT, NON_INFERIORITY, SUPERIORITY
from degradation.analysis.estimands import parse
from degradation.analysis.judge import INCONCLUSIVE, NOT_JUDGED, REFUTED, SUPPORTED, Verdict

SIGNS = {SUPPORTED: "\u2713", REFUTED: "\u2717", INCONCLUSIVE: "?", NOT_JUDGED: "\u2013"}
"""So that nothing rests on colour alone."""
MEANING = (
    "SUPPORTED: beyond its threshold, or as expected. REFUTED: beyond it on the other side, or "
    "not as expected. INCONCLUSIVE: neither, with these seeds."
)
_LOGARITHMS = ("probe/responses/log10_", "probe/gradients/first_to_last_")
_LESION = "probe/lesion/"
"""Whose entries are errors in percent, and their rise."""
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
    interval = ""
    if verdict.interval:
        low, high = map(tables.number, verdict.interval)
        interval = f"{low} to {high}"
    power = ", ".join(f"{p:.0%} with {n} seeds" for n, p in verdict.power.items())
    return Badge(
        verdict.id,
        verdict.answer,
        verdict.sentence,
        _estimate(verdict),
        interval,
        _threshold(verdict),
        _counts(verdict.n),
        tuple(tables.notes(verdict)),
        verdict.estimand,
        power,
        verdict.source,
        verdict.paper,
    )


def _unit(verdict: Verdict) -> str:
    """Of errors, iterations and logarithms; other measurements have none, or each its own."""
    if verdict.type == EXACT:
        return ""
    terms = [term for weights in parse(verdict.estimand).arms.values() for term in weights.items()]
    names = [metric.name for metric, _ in terms]
    if any(metric.reaches_pct is not None for metric, _ in terms):
        return " iterations"
    if all(name.startswith(_LOGARITHMS) for name in names):
        return " powers of ten"
    if not all(name.endswith("error_pct") or name.startswith(_LESION) for name in names):
        return ""
    is_difference = abs(sum(weight for _, weight in terms)) < 1e-9
    return " points" if is_difference or any("_rise_" in name for name in names) else " %"


def _threshold(verdict: Verdict) -> str:
    """`threshold above 5.00`; of counts what is expected, where a reason may say how nearly."""
    if verdict.type == EXACT:
        margin = verdict.margin
        return f"expected {margin:,.0f}" if margin % 1 == 0 else f"expected {tables.number(margin)}"
    return f"threshold {_THRESHOLDS[verdict.type]} {tables.number(verdict.margin)}"


def _estimate(verdict: Verdict) -> str:
    if verdict.estimate is None:
        return ""
    if verdict.type == EXACT and verdict.estimate % 1 == 0:
        return f"{verdict.estimate:,.0f}"
    return f"{tables.number(verdict.estimate)}{_unit(verdict)}"


def _counts(n: Mapping[str, int]) -> str:
    """`5` where all arms have as many runs, else the fewest and the most."""
    counts = sorted(set(n.values()))
    return f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))
