"""The pages of studies that have been reported, made anew without judging or drawing them again."""

import re
from pathlib import Path

from degradation.analysis import overview, verdict_file
from degradation.analysis.claims import Claims
from degradation.analysis.curves import Study, StudyError
from degradation.analysis.judge import Verdict
from degradation.analysis.overview import REPORT
from degradation.analysis.page.badges import badge
from degradation.analysis.page.study import write_counts, write_refusal
from degradation.analysis.report import REFUSALS, found_of_depth, judged_study, study_page
from degradation.analysis.verdict_file import VERDICT

_SHOWN = ("data", "level", "precision", "seeds", "unfinished", "runs", "found")
"""What page and index show of a `verdict.json` besides its claims."""


def write_page(study_dir: Path, repository: Path = Path()) -> Path:
    """The page alone, with the figures that lie there; answers and figures are left as they are.

    Raises what `write_report` does, and StudyError where the answers in `verdict.json` are not
    those of these runs and claims; the page then says so too.
    """
    try:
        judged = judged_study(study_dir, repository)
        _refuse_outdated(study_dir, judged)
    except REFUSALS as error:
        if (study_dir / "runs").is_dir():
            write_refusal(study_dir, error)
        raise
    stems = {path.stem for path in study_dir.glob("*.png")}
    return study_page(study_dir, judged, stems, repository)


def write_pages(results: Path, repository: Path = Path()) -> tuple[list[Path], list[Exception]]:
    """The page of every study below `results`, and the index; what was written, and why others
    were not.
    """
    written, refused = [], list[Exception]()
    for study in overview.folders(results):
        write_one = write_page if (study / "runs").is_dir() else write_counted
        try:
            written.append(write_one(study, repository))
        except (*REFUSALS, OSError) as error:
            refused.append(error)
    overview.write_list(results)
    return [*written, overview.write_index(results, repository)], refused


def write_counted(study_dir: Path, repository: Path = Path()) -> Path:
    """The page of a study that has no runs, from its `verdict.json` and `REPORT.md`."""
    verdict = verdict_file.read_own(study_dir)
    if not (verdicts := verdict_file.verdicts(study_dir, verdict)):
        raise StudyError(f"{study_dir / VERDICT}: neither runs nor claims, so nothing to show")
    sections = re.split("^## ", (study_dir / REPORT).read_text(encoding="utf-8"), flags=re.M)[1:]
    kept = [f"## {text}" for text in sections if not text.startswith("Answers")]
    return write_counts(study_dir, verdict["experiment"], verdicts, "".join(kept), repository)


def _refuse_outdated(study_dir: Path, judged: tuple[Study, Claims, list[Verdict]]) -> None:
    """Figures and index are of `verdict.json`: a page of other answers would contradict them."""
    study, claims, verdicts = judged
    anew, stored = verdict_file.anew(study_dir), verdict_file.read_own(study_dir)
    if not stored:
        raise StudyError(f"{study_dir}: no {VERDICT} yet; {anew}")
    fresh = verdict_file.content_of(
        claims, study.preset or "", study, verdicts, found=found_of_depth(study, claims, verdicts)
    )
    outdated = [key for key in _SHOWN if fresh.get(key) != stored.get(key)]
    answers = verdict_file.verdicts(study_dir, stored)
    outdated += ["claims"] if list(map(badge, verdicts)) != list(map(badge, answers)) else []
    if outdated:
        what = f"not what runs and claims now give ({', '.join(outdated)})"
        raise StudyError(f"{study_dir / VERDICT}: {what}; {anew}")
