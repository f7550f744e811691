"""From claims and runs to verdicts: SUPPORTED, REFUTED or INCONCLUSIVE, always with n and the
interval.

The null hypothesis of a superiority claim is `estimand <= margin`, of a non-inferiority claim
`estimand >= margin`, of an equivalence claim `estimand <= -margin` or `estimand >= margin` (two
one-sided tests, Schuirmann 1987); the contrary hypothesis is tested with the same rigour. Both
families of p-values are corrected by Holm over all statistical claims the file has for the preset -
also those that cannot be tested, so that no answer depends on which arms are missing. REFUTED means
that the claim as written, with its margin, is false.
"""

from dataclasses import dataclass, field, replace

from degradation.analysis import statistics
from degradation.analysis.claims import (
    EQUIVALENCE,
    EXACT,
    NON_INFERIORITY,
    Claim,
    Claims,
    ClaimsError,
)
from degradation.analysis.curves import RunCurves, Study
from degradation.analysis.estimands import ERRORS, Estimand, Metric
from degradation.analysis.sources import refuse_unequal_arms
from degradation.records import DIVERGED

SUPPORTED, REFUTED, INCONCLUSIVE, NOT_JUDGED = "SUPPORTED", "REFUTED", "INCONCLUSIVE", "NOT JUDGED"


@dataclass(frozen=True)
class Verdict:
    """The answer to one claim for one study; numbers are None where they cannot be computed."""

    id: str
    sentence: str
    type: str
    estimand: str
    margin: float
    answer: str
    reason: str
    """Why there is no answer, or what to know beside it; empty where there is nothing."""
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    """Two-sided, of this claim alone."""
    n: dict[str, int] = field(default_factory=dict)
    """Ended runs by arm."""
    diverged: dict[str, int] = field(default_factory=dict)
    """Of these, how many diverged and count as 90 % error."""
    censored: dict[str, int] = field(default_factory=dict)
    """Of these, how many never reached the level of an `iterations_to` and count as the full
    length.
    """
    p_holm: float | None = None
    p_contrary_holm: float | None = None
    p_permutation: float | None = None
    """Uncorrected; of the claim, or of the contrary where the estimate is on that side."""
    power: dict[int, float] = field(default_factory=dict)
    """As written in the claims file: seeds -> expected probability of SUPPORTED."""
    source: str = ""
    paper: str = ""


@dataclass(frozen=True)
class _Evidence:
    """What the arms say about one statistical claim, before Holm."""

    verdict: Verdict
    """So far without an answer; a `reason` says why there is no test."""
    values: dict[str, list[float]]
    """Contributions to the estimand by arm, coefficients included."""
    p: float = 1.0
    p_contrary: float = 1.0


def judge(claims: Claims, preset: str, study: Study) -> list[Verdict]:
    """One verdict a claim, in the file's order.

    Raises ClaimsError where the study is not of the preset and data set that the claims are for,
    StudyError where arms differ in more than they may.
    """
    for key, found, needed in (
        ("preset", study.preset, preset),
        ("data set", study.data, claims.data),
    ):
        if found not in (None, needed):
            raise ClaimsError(
                f"{study.source}: {key} {found!r}, but {claims.path} judges {needed!r} here"
            )
    refuse_unequal_arms(study, claims.by_arm)
    chosen = claims.for_preset(preset)
    tested = [claim for claim in chosen if claim.type != EXACT]
    evidence = [_evidence(claim, preset, study, claims.level) for claim in tested]
    p = statistics.holm([item.p for item in evidence])
    p_contrary = statistics.holm([item.p_contrary for item in evidence])
    verdicts = {
        claim.id: _answer(claim, evidence[i], (p[i], p_contrary[i]), claims.level)
        for i, claim in enumerate(tested)
    }
    return [verdicts.get(claim.id) or _exact(claim, preset, study) for claim in chosen]


def _counts_as_chance(metric: Metric) -> bool:
    """Whether a diverged run has 90 % there, and not its first number or the full length."""
    return metric.name in ERRORS and not metric.is_first and metric.reaches_pct is None


def _evidence(claim: Claim, preset: str, study: Study, level: float) -> _Evidence:
    (estimand,) = claim.estimands
    ended = {arm: study.ended(arm) for arm in estimand.arms}
    no_pairs = ""
    if claim.paired:
        all_ended, ended = ended, _in_pairs(ended, estimand)
        if all(all_ended.values()) and not any(ended.values()):
            no_pairs = "no seed for which every arm has its number"
    values = {arm: _values(runs, estimand.arms[arm]) for arm, runs in ended.items()}
    reached = {
        arm: sum(any(map(run.is_censored, estimand.arms[arm])) for run in runs)
        for arm, runs in ended.items()
    }
    diverged = {
        arm: sum(run.status == DIVERGED for run in runs)
        for arm, runs in ended.items()
        if any(map(_counts_as_chance, estimand.arms[arm]))
    }
    verdict = replace(
        _unanswered(claim, preset),
        reason=no_pairs or _why_no_test(estimand, ended, values),
        n={arm: len(found) for arm, found in values.items()},
        diverged={arm: count for arm, count in diverged.items() if count},
        censored={arm: count for arm, count in reached.items() if count},
    )
    if all(values.values()):
        estimate = sum(sum(found) / len(found) for found in values.values())
        verdict = replace(verdict, estimate=estimate)
    if verdict.reason:
        return _Evidence(verdict, values)
    samples = list(values.values())
    if claim.paired:
        samples = [[sum(of_seed) for of_seed in zip(*samples, strict=True)]]
    fit = statistics.welch(samples)
    if not fit.se:
        reason = "all seeds of each arm agree exactly: no test"
        return _Evidence(replace(verdict, reason=reason), values)
    verdict = replace(verdict, interval=fit.interval(1 - 2 * level))
    return _Evidence(verdict, values, *_p_values(claim.type, fit, verdict.margin))


def _in_pairs(ended: dict[str, list[RunCurves]], estimand: Estimand) -> dict[str, list[RunCurves]]:
    """The runs of the seeds for which every arm has its numbers, in the same order."""
    measured = {
        arm: {run.seed for run in runs if _values([run], estimand.arms[arm])}
        for arm, runs in ended.items()
    }
    seeds = set.intersection(*measured.values())
    return {
        arm: sorted((run for run in runs if run.seed in seeds), key=lambda run: run.seed)
        for arm, runs in ended.items()
    }


def _p_values(kind: str, fit: statistics.Welch, margin: float) -> tuple[float, float]:
    """One-sided, of the claim and of its contrary."""
    above, below = fit.p_above(margin), fit.p_below(margin)
    if kind == NON_INFERIORITY:
        return below, above
    if kind == EQUIVALENCE:  # both tests must reject; the contrary is one of two, so twice the less
        return max(fit.p_above(-margin), below), min(1.0, 2 * min(above, fit.p_below(-margin)))
    return above, below


def _unanswered(claim: Claim, preset: str) -> Verdict:
    return Verdict(
        claim.id, claim.sentence, claim.type,
        " and ".join(estimand.text for estimand in claim.estimands), claim.margin[preset],
        INCONCLUSIVE, "",
        power=claim.power.get(preset, {}), source=claim.source, paper=claim.paper,
    )  # fmt: skip


def _values(runs: list[RunCurves], weights: dict[Metric, float]) -> list[float]:
    """Each run's contribution to the estimand; runs without the number are left out."""
    totals = []
    for run in runs:
        parts = [(weight, run.value(metric)) for metric, weight in weights.items()]
        if all(value is not None for _, value in parts):
            totals.append(sum(weight * value for weight, value in parts if value is not None))
    return totals


def _why_no_test(
    estimand: Estimand, ended: dict[str, list[RunCurves]], values: dict[str, list[float]]
) -> str:
    for arm, found in values.items():
        if not ended[arm]:
            return f"arm {arm} has no finished run"
        if not found:
            return f"no run of arm {arm} has {', '.join(sorted(map(str, estimand.arms[arm])))}"
        lost = sum(run.status == DIVERGED for run in ended[arm])
        if lost and len(found) < len(ended[arm]):  # the others would speak for all
            return f"{lost} of {len(ended[arm])} runs of arm {arm} diverged and have no such number"
    few = min(values, key=lambda arm: len(values[arm]))
    return "" if len(values[few]) > 1 else f"arm {few} has one run; a test needs two"


def _answer(claim: Claim, item: _Evidence, p: tuple[float, float], level: float) -> Verdict:
    """`p`: of the claim and of its contrary, after Holm.

    From `MIN_SEEDS_PERMUTATION` seeds an arm on, a claim with a permutation test needs both tests.
    """
    if item.verdict.reason:
        return item.verdict
    answer = SUPPORTED if p[0] <= level else REFUTED if p[1] <= level else INCONCLUSIVE
    verdict = replace(item.verdict, answer=answer, p_holm=p[0], p_contrary_holm=p[1])
    if not claim.permutation:
        return verdict
    first, second = item.values.values()
    p_values = statistics.permutation(first, [-value for value in second], verdict.margin)
    if p_values is None:
        least = statistics.MIN_SEEDS_PERMUTATION
        few = min(len(first), len(second)) < least
        reason = f"no permutation test below {least} seeds an arm" if few else ""
        return replace(verdict, reason=reason)
    verdict = replace(verdict, p_permutation=min(p_values))
    if min(p_values) > level and answer != INCONCLUSIVE:
        reason = f"{answer} by Welch's test, but not by the permutation test"
        return replace(verdict, answer=INCONCLUSIVE, reason=reason)
    return verdict


def _exact(claim: Claim, preset: str, study: Study) -> Verdict:
    """Every run of every arm must have the same count, and every estimand the value."""
    target = claim.margin[preset]
    ended = {arm: study.ended(arm) for estimand in claim.estimands for arm in estimand.arms}
    outcomes = [_exact_outcome(estimand, target, ended) for estimand in claim.estimands]
    n = {arm: len(runs) for arm, runs in ended.items()}
    verdict = replace(_unanswered(claim, preset), n=n)
    for answer in (REFUTED, INCONCLUSIVE, NOT_JUDGED):
        reasons = [reason for found, reason in outcomes if found == answer]
        if reasons:
            return replace(verdict, answer=answer, reason="; ".join(dict.fromkeys(reasons)))
    return replace(verdict, answer=SUPPORTED, estimate=target)


def _exact_outcome(
    estimand: Estimand, target: float, ended: dict[str, list[RunCurves]]
) -> tuple[str, str]:
    """Answer and reason for one of an exact claim's estimands."""
    total = 0.0
    for arm, weights in estimand.arms.items():
        found = _values(ended[arm], weights)
        counts = set(found)
        if not ended[arm]:
            return INCONCLUSIVE, f"arm {arm} has no finished run"
        if not counts and all(metric.is_count for metric in weights):
            return NOT_JUDGED, "the curves come without counts"
        if len(found) < len(ended[arm]):
            return INCONCLUSIVE, f"{len(found)} of {len(ended[arm])} runs of arm {arm} have it"
        if len(counts) > 1:
            return REFUTED, f"runs of arm {arm} differ among themselves"
        total += counts.pop()
    return (SUPPORTED, "") if total == target else (REFUTED, f"{estimand.text} is {total:g}")
