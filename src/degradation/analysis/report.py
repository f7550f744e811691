"""A study's report: table, verdicts, figures and `REPORT.md`, written into the study's folder from
its records alone.
"""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from degradation.analysis import captions, figures, overview, style, tables, verdict_file
from degradation.analysis.claims import Claims, ClaimsError, of_study
from degradation.analysis.curves import Study, StudyError
from degradation.analysis.judge import Verdict, judge
from degradation.analysis.overview import REPORT
from degradation.analysis.page import summary
from degradation.analysis.page.study import Picture, write_refusal, write_study
from degradation.analysis.report_text import account, report_text
from degradation.analysis.sources import read_records
from degradation.analysis.verdict_file import VERDICT
from degradation.records import RecordError, write_atomically, write_json

TABLE = "table.csv"
REFUSALS = (StudyError, ClaimsError, RecordError)
"""Why a study cannot be reported, in one line."""


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
    content = verdict_file.content_of(claims, study.preset or "", study, verdicts, found=found)
    write_json(study_dir / VERDICT, content)
    tables.write_table(study_dir / TABLE, study)
    drawn = figures.draw(study, study_dir)
    stems = {path.stem for path in drawn}
    text = report_text(study, claims, verdicts, stems)
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
    below = "\n\n".join(account(study, claims))
    return write_study(
        study_dir, study, claims, verdicts,
        pictures=pictures, account=below, repository=repository,
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
