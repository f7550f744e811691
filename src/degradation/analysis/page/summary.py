"""What a study found, in sentences made from its records and verdicts alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from degradation.analysis.claims import NO_EXPERIMENT, Claims
from degradation.analysis.curves import Study
from degradation.analysis.estimands import ERRORS, KINDS
from degradation.analysis.judge import INCONCLUSIVE, NOT_JUDGED, REFUTED, SUPPORTED, Verdict
from degradation.analysis.page.badges import badge
from degradation.analysis.series import FINAL, values_of
from degradation.analysis.statistics import CONFIDENCE, Welch, mean_interval, welch
from degradation.records import DIVERGED

FOUND, SURE = "What was found", "How sure is that?"
ANSWERS = (SUPPORTED, REFUTED, INCONCLUSIVE, NOT_JUDGED)
SCALE = (
    "Preset quick is a laptop's scale: small nets, small images, few steps. "
    "Only preset paper stands beside the paper's numbers."
)

SHORT = (
    "These runs are short and have not converged; at its full length the paper has no such rise."
)
"""Beside a rise of residual nets, which is not against the paper."""


@dataclass(frozen=True)
class Line:
    """A sentence of the summary, its number and what belongs to it."""

    head: str
    figure: str
    """The number to see first; empty where there is none."""
    text: str
    kind: str = ""
    """Of nets, where it is about one."""


@dataclass(frozen=True)
class _Rise:
    """What depth does to the clean training error of one kind of net, last iterate."""

    kind: str
    depths: tuple[int, int]
    samples: tuple[list[float], list[float]]
    """The deepest nets' errors, and the shallowest ones' with the sign turned."""

    @property
    def means(self) -> tuple[float, float]:
        """Of the shallowest and of the deepest."""
        return -fmean(self.samples[1]), fmean(self.samples[0])

    @property
    def points(self) -> float:
        return self.means[1] - self.means[0]


def judges_errors(claims: Claims, preset: str) -> bool:
    """Whether a claim is about the errors of arms without overrides alone, so that their curves
    answer it; or nothing is claimed.
    """
    return not claims.claims or any(
        arms and all(arm.count("-") == 1 for arm in arms) for arms in arms_by_error(claims, preset)
    )


def arms_by_error(claims: Claims, preset: str) -> list[set[str]]:
    """Of each claim the arms whose errors it is about; none where nothing is claimed."""
    judged = claims.for_preset(preset) if claims.claims else ()
    return [
        {
            arm
            for estimand in claim.estimands
            for arm, weights in estimand.arms.items()
            if any(metric.name in ERRORS for metric in weights)
        }
        for claim in judged
    ]


def lines(study: Study, claims: Claims, verdicts: Sequence[Verdict]) -> list[Line]:
    """What degrades and what does not, where the claims are about that; then how sure it is."""
    assert study.preset is not None
    found = depth_lines(study) if judges_errors(claims, study.preset) else []
    if not verdicts:
        text = "Nothing was claimed of these runs beforehand, so nothing is judged; "
        text += f"{study.seeds_text}."
        return [*found, Line(SURE if found else FOUND, "", text)]
    answers = [verdict.answer for verdict in verdicts]
    sure = (
        f"{rest(answers)}Thresholds were written before the runs; {study.seeds_text}. The "
        f"probability that any claim is wrongly SUPPORTED is at most {100 * claims.level:g} %, "
        "over all claims of this study together."
    )
    said = found or [first(verdicts, 1 - 2 * claims.level)]
    return [*said, Line(SURE, share(answers), sure)]


def first(verdicts: Sequence[Verdict], confidence: float = 0.0) -> Line:
    """The first claim, its number before it: what was found where nothing is told of depth."""
    shown = badge(verdicts[0])
    span = f"; {100 * confidence:.0f} % interval {shown.interval}" if shown.interval else ""
    which = f"The first of {len(verdicts)} claims" if len(verdicts) > 1 else "The claim"
    text = f"{which}: {shown.sentence.removesuffix('.')}. {shown.answer}{span}, {shown.threshold}."
    return Line(FOUND, shown.estimate, text)


def share(answers: Sequence[str]) -> str:
    return f"{answers.count(SUPPORTED)} of {len(answers)} SUPPORTED"


def rest(answers: Sequence[str]) -> str:
    """`2 REFUTED, 1 INCONCLUSIVE. `, empty where all are SUPPORTED."""
    found = [f"{answers.count(each)} {each}" for each in ANSWERS[1:] if each in answers]
    return f"{', '.join(found)}. " if found else ""


def remarks(study: Study, found: Sequence[Line]) -> list[str]:
    """What to keep in mind about the lines."""
    kept = []
    if any(line.kind and "% interval" in line.text for line in found):
        judged = "; whatever was claimed beforehand is judged below"
        is_judged = study.experiment != NO_EXPERIMENT
        kept.append(
            "The intervals are one at a time and without a threshold" + judged * is_judged + "."
        )
    is_of_depth = any(line.kind for line in found)
    if is_of_depth and (others := [run for run in study.runs if run.overrides and run.has_ended]):
        lost = sum(run.status == DIVERGED for run in others)
        of_them = f", of which {lost} diverged" if lost else ""
        kept.append(
            f"The nets above are those without a change; {len(others)} "
            f"{'runs are' if len(others) > 1 else 'run is'} of arms with one{of_them}."
        )
    if min(len(study.ended(arm)) for arm in study.arms) < 2:
        kept.append(
            "Where an arm has fewer than two runs there is no spread, and no answer rests on it."
        )
    if _is_short(study):
        kept.append(SCALE)
    return kept


def depth_lines(study: Study) -> list[Line]:
    """A line a kind of net: the training error of the deepest beside that of the shallowest, or
    that of its one depth.
    """
    rises = {kind: rise for kind in KINDS if (rise := _rise(study, kind))}
    plain = rises.get("plain")
    return [
        _line(study, rises[kind], None if kind == "plain" else plain)
        if kind in rises
        else _one_depth(study, kind, depths[0])
        for kind in KINDS
        if (depths := _measured(study, kind))
    ]


def _measured(study: Study, kind: str) -> list[int]:
    """The depths of the arms without overrides that have a final training error."""
    depths = sorted({run.depth for run in study.runs if run.kind == kind})
    return [depth for depth in depths if _values(study, f"{kind}-{depth}")]


def _rise(study: Study, kind: str) -> _Rise | None:
    measured = _measured(study, kind)
    if len(measured) < 2:
        return None
    deep, shallow = (_values(study, f"{kind}-{depth}") for depth in (measured[-1], measured[0]))
    return _Rise(kind, (measured[0], measured[-1]), (deep, [-value for value in shallow]))


def _one_depth(study: Study, kind: str, depth: int) -> Line:
    errors = _values(study, f"{kind}-{depth}")
    text = "Training error of the last iterate"
    if (span := mean_interval(errors, CONFIDENCE)) and span[0] < span[1]:
        text += f"; 95 % interval {span[0]:.1f} to {span[1]:.1f}"
    elif len(errors) == 1:
        text += "; one run, so no interval"
    text += f".{_diverged(study, kind, [depth])}"
    head = f"{kind.capitalize()} nets of {depth:,} layers"
    return Line(head, f"{fmean(errors):.1f} %", text, kind)


def _diverged(study: Study, kind: str, depths: Sequence[int]) -> str:
    counts = {depth: study.ended(f"{kind}-{depth}") for depth in depths}
    found = [
        f" {lost} of {len(runs)} runs of {depth} layers diverged and count as 90 %."
        for depth, runs in counts.items()
        if (lost := sum(run.status == DIVERGED for run in runs))
    ]
    return "".join(found)


def _values(study: Study, arm: str) -> list[float]:
    return values_of(study.ended(arm), FINAL["training"])


def _fit(samples: Sequence[Sequence[float]]) -> Welch | None:
    """None where an arm has one seed, or no seed differs from another."""
    if any(len(values) < 2 for values in samples):
        return None
    fit = welch(samples)
    return fit if fit.se else None


def _side(fit: Welch | None) -> int:
    """1: the interval lies above zero, -1: below; 0: neither, or there is none."""
    if fit is None:
        return 0
    low, high = fit.interval(CONFIDENCE)
    return 1 if low > 0 else -1 if high < 0 else 0


def _line(study: Study, rise: _Rise, plain: _Rise | None) -> Line:
    """`plain`: the rise of the plain nets, beside which this one is put."""
    fit = _fit(rise.samples)
    is_less = plain is not None and plain.depths == rise.depths and _is_less(rise, plain)
    (shallow, deep), (before, after) = rise.depths, rise.means
    agree = all(len(values) > 1 for values in rise.samples)
    span = f"no interval, as {'no seed differs' if agree else 'an arm has one seed'}"
    if fit:
        low, high = fit.interval(CONFIDENCE)
        span = f"95 % interval {low:+.1f} to {high:+.1f}"
    text = f"Training error {before:.1f} % at {shallow} layers, {after:.1f} % at {deep}; {span}."
    if is_less and plain:
        gone = 100 * (1 - max(0.0, rise.points) / plain.points)
        text += f" With the shortcut {gone:.0f} % of the plain nets' rise is gone."
    text += _diverged(study, rise.kind, rise.depths)
    if rise.kind == "residual" and _side(fit) > 0 and _is_short(study):
        text += f" {SHORT}"
    both = plain is not None and _side(_fit(plain.samples)) > 0
    head = _head(f"{rise.kind.capitalize()} nets", fit, " less" if is_less else " too" * both)
    return Line(head, f"{rise.points:+.1f} points".replace("-", "\u2212"), text, rise.kind)


def _is_short(study: Study) -> bool:
    """Whether it is of the paper's nets at a laptop's scale."""
    return study.preset == "quick" and study.is_of_the_papers_nets


def _is_less(rise: _Rise, plain: _Rise) -> bool:
    """Whether plain nets rise, and these less, by intervals of their own."""
    contrary = [[-value for value in values] for values in rise.samples]
    return _side(_fit(plain.samples)) > 0 and _side(_fit([*plain.samples, *contrary])) > 0


def _head(nets: str, fit: Welch | None, beside_plain: str) -> str:
    if fit is None:
        return f"{nets}: these runs cannot tell."
    if (side := _side(fit)) > 0:
        return f"{nets} degrade{beside_plain}."
    return f"{nets} train better with depth." if side else f"{nets}: no rise is shown."
