"""A study's report: table, verdicts, figures and `REPORT.md`, written into the study's folder from
its records alone.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from degradation.analysis import captions, figures, overview, style, tables, verdict_file
from degradation.analysis.claims import (
    EXACT,
    NO_EXPERIMENT,
    Claims,
    ClaimsError,
    claims_path,
    of_study,
)
from degradation.analysis.curves import Study, StudyError
from degradation.analysis.judge import Verdict, judge, write_verdict
from degradation.analysis.overview import REPORT
from degradation.analysis.page import summary
from degradation.analysis.page.index import INDEX
from degradation.analysis.page.study import (
    PAGE,
    Picture,
    write_refusal,
    write_study,
)
from degradation.analysis.sources import read_records
from degradation.analysis.verdict_file import VERDICT
from degradation.records import RecordError, write_atomically

TABLE = "table.csv"
REFUSALS = (StudyError, ClaimsError, RecordError)
"""Why a study cannot be reported, in one line."""
_LIMITS = {
    "quick": "Preset `quick` is a small net on small images, here for {iterations} iterations; the "
    "paper's numbers are for the full length and stand here for orientation only.",
    "paper": "The protocol is that of Sec. 4.2, with the departures marked `DEVIATION:` in `conf/` "
    "and listed in the README; the paper reports one run an arm (five for residual-110).",
}
_LIMIT_QUICK_ERRORS = (
    "It can show that plain nets degrade and that the shortcut removes most of it. That residual "
    "nets do not degrade at all, and that deeper ones are better, are claims of the preset `paper` "
    "alone."
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


def write_report(study_dir: Path, repository: Path = Path()) -> list[Path]:
    """Judges and draws a study; the paths written, `REPORT.md` first.

    The claims are those of the study's own experiment, in `repository`. Raises StudyError,
    RecordError or ClaimsError, one line, where that cannot be done; the page then says so too, and
    what an earlier report wrote is gone: it would pass for that of these runs.
    """
    try:
        judged = study, claims, verdicts = judged_study(study_dir, repository)
    except REFUSALS as error:
        if (study_dir / "runs").is_dir():
            write_refusal(study_dir, error)
            _remove_report(study_dir)
            overview.write_index(overview.root_of(study_dir), repository)
        raise
    found = found_of_depth(*judged)
    write_verdict(study_dir / VERDICT, claims, study.preset or "", study, verdicts, found=found)
    tables.write_table(study_dir / TABLE, study)
    drawn = figures.draw(study, study_dir)
    stems = {path.stem for path in drawn}
    text = _report_text(study, claims, verdicts, stems)
    write_atomically(study_dir / REPORT, text.encode())
    page = study_page(study_dir, judged, stems, repository)
    overview.write_index(overview.root_of(study_dir), repository)
    return [study_dir / REPORT, page, study_dir / VERDICT, study_dir / TABLE, *drawn]


def study_page(
    study_dir: Path,
    judged: tuple[Study, Claims, list[Verdict]],
    stems: Collection[str],
    repository: Path,
) -> Path:
    """Writes the page; `stems` of the figures that lie beside it."""
    study, claims, verdicts = judged
    pictures = [
        Picture(study_dir / f"{figure.stem}.png", figure.title, captions.own(study, figure))
        for figure in figures.OWN
        if figure.stem in stems
    ]
    account = "\n\n".join(_account(study, claims))
    return write_study(
        study_dir, study, claims, verdicts,
        pictures=pictures, account=account, repository=repository,
    )  # fmt: skip


def judged_study(study_dir: Path, repository: Path) -> tuple[Study, Claims, list[Verdict]]:
    """From its records and its experiment's claims; raises one of `REFUSALS`."""
    study = read_records(study_dir)
    assert study.experiment is not None
    assert study.preset is not None
    if not any(run.has_ended for run in study.runs):
        raise StudyError(f"{study_dir}: none of its {len(study.runs)} runs has finished")
    claims = of_study(study.experiment, study.data or "", repository)
    return study, claims, judge(claims, study.preset, study) if claims.claims else []


def found_of_depth(study: Study, claims: Claims, verdicts: list[Verdict]) -> list[dict[str, str]]:
    """What `verdict.json` keeps of depth for the index."""
    return [asdict(line) for line in summary.lines(study, claims, verdicts) if line.kind]


def _remove_report(study_dir: Path) -> None:
    names = [VERDICT, REPORT, TABLE]
    names += [name for stem in figures.ALL for name in style.files(stem)]
    for name in names:
        (study_dir / name).unlink(missing_ok=True)


def closing_text(study_dir: Path, committed_dir: Path | None) -> str:
    """What `make reproduce` ends with: paper | committed results | this run, a line a claim, and
    the figures' paths.
    """
    this = verdict_file.read(study_dir)
    committed = verdict_file.read(committed_dir) if committed_dir else {}
    before = {claim["id"]: tables.answer_cell(claim) for claim in committed.get("claims", ())}
    rows = [["claim", "paper", "committed", "this run"]]
    rows += [
        [claim["id"], claim["paper"], before.get(claim["id"], ""), tables.answer_cell(claim)]
        for claim in this["claims"]
    ]
    head = f"{this['experiment']}, preset {this['preset']}, data set {this['data']}"
    how = f"each estimate in its claim's unit, {this['confidence']:.0%} intervals"
    kept = (
        read_records(committed_dir) if committed_dir and (committed_dir / "runs").is_dir() else None
    )
    errors = tables.closing_rows(read_records(study_dir), kept)
    names = [f"{stem}.{form}" for stem in figures.ALL for form in ("png", "svg")]
    paths = [study_dir / PAGE, overview.root_of(study_dir) / INDEX]
    paths += [study_dir / name for name in (REPORT, *names)]
    found = "\n".join(path.as_posix() for path in paths if path.exists())
    note = "training: the paper's is the running error, ours the clean one of the last iterate"
    if this["preset"] == "quick":
        note += "; quick is a small scale, not the paper's"
    parts = [f"{tables.text_table(errors)}\n({note})"] if len(errors) > 1 else []
    parts += [f"{tables.text_table(rows)}\n({how})"] if this["claims"] else []
    return "\n\n".join([head, *parts, found])


def _report_text(
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
        *_account(study, claims),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _account(study: Study, claims: Claims) -> list[str]:
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


def _limits(study: Study, claims: Claims) -> str:
    limits = [_LIMIT_SHAPES] if study.data == "shapes" else []
    is_a_sweep = study.is_of_the_papers_nets or study.data == "shapes"
    if study.preset in _LIMITS and is_a_sweep:
        limit = _LIMITS[study.preset].format(iterations=_iterations(study))
        is_sweep = len({run.depth for run in study.runs}) > 1
        is_about = study.preset == "quick" and summary.judges_errors(claims, "quick") and is_sweep
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
