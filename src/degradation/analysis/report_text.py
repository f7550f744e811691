"""REPORT.md: what was asked, the answers, the figures, and how to do it again."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from degradation.analysis import captions, figures, tables
from degradation.analysis.claims import EXACT, NO_EXPERIMENT, Claims, claims_path
from degradation.analysis.curves import Study
from degradation.analysis.judge import Verdict
from degradation.analysis.page import summary

_LIMITS = {
    "quick": "Preset `quick` is a small net on small images, here for {iterations} iterations; the "
    "paper's numbers are for the full length and stand here for orientation only.",
    "paper": "The protocol is that of Sec. 4.2, with the departures marked `DEVIATION:` in `conf/` "
    "and listed in the README; the paper reports one run an arm (five for residual-110).",
}
_LIMIT_QUICK_ERRORS = (
    "It can show that plain nets degrade and that the shortcut removes most of it. That residual "
    "nets do not degrade at all is claimed for longer training, in `more_iterations` and at the "
    "preset `paper`; that deeper ones have the lower test error, at `paper` alone."
)
_LIMIT_SHAPES = (
    "The data set is `shapes`: procedural images, not CIFAR-10. Nothing here can be compared with "
    "the paper's numbers."
)
_LIMIT_SEEDS = (
    "The intervals are Student's over seeds (Welch), one claim at a time; the answers are "
    "corrected for the number of claims of this study (Holm). Seeds are the only thing varied: the "
    "data, the code and the kind of machine are not. Arms share their seeds, and with them the "
    "order of the data; the tests take them as independent. All ended runs of the study are "
    "judged; who adds seeds until an answer pleases gives up the error rates stated."
)
_LIMIT_UNJUDGED = (
    "The intervals are Student's over seeds (Welch), one at a time, and no threshold was set "
    "beforehand. Seeds are the only thing varied: the data, the code and the machine are not."
)


def report_text(
    study: Study, claims: Claims, verdicts: list[Verdict], drawn: Collection[str]
) -> str:
    sections = [
        f"# {study.experiment}, preset {study.preset}, on {study.data_title}",
        "Written from the records by `make report`; do not edit.",
        "## What was asked",
        _question(study, claims),
        "## Answers" if verdicts else "",
        tables.markdown(tables.verdict_rows(verdicts, 1 - 2 * claims.level)) if verdicts else "",
        _sentences(verdicts),
        "## Figures",
        *_figures(study, drawn),
        *account(study, claims),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def account(study: Study, claims: Claims) -> list[str]:
    """What follows answers and figures, here and on the page."""
    return [
        *_measured(study),
        *_errors(study),
        "## Runs",
        _runs(study),
        "## Again",
        "From the records, and the runs themselves:",
        f"```\nmake report EXPERIMENT={study.experiment} PRESET={study.preset}\n"
        f"{_command(study)}\n```",
        "## Limits",
        _limits(study, claims),
    ]


def _command(study: Study) -> str:
    """Of a sweep; each run without an experiment has its own."""
    if study.experiment != NO_EXPERIMENT:
        seeds = sorted({run.seed for run in study.runs if run.has_ended})
        chosen = f"seed={','.join(map(str, seeds))}"
        return f"degradation +experiment={study.experiment} preset={study.preset} {chosen}"
    commands = {str(run.environment.get("command", "")) for run in study.runs if run.has_ended}
    return "\n".join(sorted(commands))


def _figures(study: Study, drawn: Collection[str]) -> list[str]:
    found = [
        ("curves", "Error curves, plain and residual", captions.curves(study)),
        ("final_error", "Error of the last iterate against depth", captions.final_error(study)),
    ]
    found += [(figure.stem, figure.title, captions.own(study, figure)) for figure in figures.OWN]
    return [f"![{name}]({stem}.png)\n\n{text}" for stem, name, text in found if stem in drawn]


def _question(study: Study, claims: Claims) -> str:
    if not claims.claims:
        return (
            "These runs belong to no experiment (`+experiment=`): nothing was claimed of them "
            "beforehand, so nothing is judged."
        )
    return (
        f"Question, source and cost: `experiments/{study.experiment}/README.md`; "
        f"thresholds, written before the runs: `{claims_path(claims.experiment).as_posix()}`. Each "
        "statistical claim is a one-sided Welch test over seeds against its margin, of equivalence "
        "two of them, of paired claims Student's test over the seeds' differences. SUPPORTED: "
        "beyond the margin. REFUTED: beyond it on the other side. INCONCLUSIVE: neither. That any "
        f"claim is wrongly SUPPORTED has a probability of at most {claims.level:.1%} over all of "
        "this study's claims together (Holm), if an arm's runs are normal around their mean; "
        "likewise REFUTED."
    )


def _sentences(verdicts: list[Verdict]) -> str:
    lines = []
    for verdict in verdicts:
        lines.append(f"- **{verdict.id}: {verdict.answer}.** {verdict.sentence} ({verdict.source})")
        if verdict.type != EXACT:
            power = ", ".join(f"{p:.0%} with {n} seeds" for n, p in verdict.power.items())
            told = f"; power expected beforehand: {power}" if power else ""
            lines.append(f"  - `{verdict.estimand}`{told}.")
        lines += [f"  - {note}" for note in tables.notes(verdict)]
    return "\n".join(lines)


def _measured(study: Study) -> list[str]:
    rows = tables.measured_rows(study)
    how = "Mean ± standard deviation over the n runs that have a number there. A run that diverged "
    how += "has none at its end, nor has one whose gradient is zero, beyond what float32 holds."
    return ["## Measured", tables.markdown(rows), how] if rows else []


def _errors(study: Study) -> list[str]:
    if not any("test/error_pct" in run.last for run in study.runs):
        return []
    if study.is_of_the_papers_nets:
        return ["## Beside the paper", *_paper_tables(study)]
    test, training = (
        tables.arm_rows(study, metric, name)
        for metric, name in (("test/error_pct", "test"), ("eval/train_error_pct", "training"))
    )
    return [
        "## Errors",
        tables.markdown([[row[0], *row[2:]] for row in test]),
        tables.markdown([[row[0], *row[2:]] for row in training]),
        "Mean ± standard deviation over seeds, last iterate, a diverged run as 90 %. The paper has "
        "no numbers for these nets on this data set.",
    ]


def _paper_tables(study: Study) -> list[str]:
    return [
        tables.markdown(tables.arm_rows(study, "test/error_pct", "test")),
        tables.markdown(tables.arm_rows(study, "eval/train_error_pct", "training")),
        "Mean ± standard deviation over seeds, last iterate, a diverged run as 90 %. The paper's "
        "numbers: He et al. 2015, Table 6, and Fig. 6 as digitised by others (about ± 0.1); its "
        "training error is the running one of training, ours the clean one on "
        f"{_trained_on(study)}. Empty: the paper has no number.",
    ]


def _trained_on(study: Study) -> str:
    counts = {run.config.get("data", {}).get("train_images") for run in study.runs}
    some = counts.pop() if len(counts) == 1 else None
    return f"the {some:,} images it trains on" if some else "all images it trains on"


def _runs(study: Study) -> str:
    ended = [run for run in study.runs if run.has_ended]
    unfinished = [run.name for run in study.runs if not run.has_ended]
    wall = sum(run.wall_s or 0 for run in ended) / 3600
    seeds = sorted({run.seed for run in ended})
    lines = [
        f"- {len(ended)} runs ended, {sum(run.status == 'diverged' for run in ended)} of them "
        f"diverged; seeds {', '.join(map(str, seeds))}; {wall:.2f} hours of training in all",
        f"- precision {study.precision}; iterations {_iterations(study)}",
    ]
    made_by = Counter(
        run.config.get("hardware", {}).get("batch_norm_kernels", "library") for run in ended
    )
    if made_by.keys() - {"library"}:
        told = ", ".join(f"{kernels} ({count} runs)" for kernels, count in sorted(made_by.items()))
        lines.append(f"- batch norm of training steps by other kernels: {told}")
    lines += [f"- learning rates: {rates}"] if (rates := tables.rates_text(study)) else []
    lines += [f"- not finished and not counted: {', '.join(unfinished)}"] if unfinished else []
    environments = (run.environment for run in ended)
    lines += [f"- {text}" for text in sorted({_environment(env) for env in environments})]
    return "\n".join(lines)


def _environment(environment: dict[str, Any]) -> str:
    packages = environment.get("packages", {})
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    dirty = " with uncommitted changes" if environment.get("git_dirty") else ""
    return (
        f"{environment.get('device', 'device not recorded')}; Python "
        f"{environment.get('python', 'not recorded')}, {versions or 'versions not recorded'}; "
        f"commit {environment.get('git_commit') or 'not recorded'}{dirty}"
    )


def _iterations(study: Study) -> str:
    lengths = sorted({run.iterations for run in study.runs if run.has_ended})
    return " or ".join(f"{length:,}" for length in lengths)


def _is_of_residual_nets(claims: Claims) -> bool:
    """Whether `quick` claims something about the errors of residual nets by themselves."""
    return any(
        arms and all(arm.startswith("residual-") for arm in arms)
        for arms in summary.arms_by_error(claims, "quick")
    )


def _limits(study: Study, claims: Claims) -> str:
    limits = [_LIMIT_SHAPES] if study.data == "shapes" else []
    is_a_sweep = study.is_of_the_papers_nets or study.data == "shapes"
    if study.preset in _LIMITS and is_a_sweep:
        limit = _LIMITS[study.preset].format(iterations=_iterations(study))
        is_sweep = len({run.depth for run in study.runs}) > 1
        is_about = study.preset == "quick" and summary.judges_errors(claims, "quick") and is_sweep
        is_about = is_about and not _is_of_residual_nets(claims)
        limits.append(limit + f" {_LIMIT_QUICK_ERRORS}" * is_about)
    fewest = min(len(study.ended(arm)) for arm in study.arms)
    if study.experiment == NO_EXPERIMENT:
        return "\n".join(f"- {limit}" for limit in (*limits, _LIMIT_UNJUDGED))
    if fewest < 5:
        limits.append(
            f"The smallest arm has {fewest} seed{'' if fewest == 1 else 's'}: the power beside "
            "each claim says how likely an INCONCLUSIVE was even if the claim is true. Fewer than "
            "two are never enough for an answer."
        )
    return "\n".join(f"- {limit}" for limit in (*limits, _LIMIT_SEEDS))
