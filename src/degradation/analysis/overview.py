"""What lies over several studies: `index.html`, and of the committed ones `REPORT.md`."""

from pathlib import Path

from degradation.analysis import tables, verdict_file
from degradation.analysis.curves import StudyError
from degradation.analysis.judge import INCONCLUSIVE, REFUTED, SUPPORTED
from degradation.analysis.page import index
from degradation.analysis.page.index import Entry, Unreported
from degradation.analysis.page.study import PAGE, is_refusal
from degradation.analysis.verdict_file import VERDICT
from degradation.records import write_atomically

RESULTS = Path("results")
"""The committed studies."""
REPORT = "REPORT.md"
MOST_TRIES = 5


def folders(root: Path) -> list[Path]:
    """Of all studies below `root`, reported or not."""
    return sorted({path.parent for name in (VERDICT, "runs") for path in root.glob(f"*/*/{name}")})


def root_of(study_dir: Path) -> Path:
    """The folder of studies in which it is `<experiment>/<preset>`."""
    return study_dir.parent.parent


def write_index(root: Path, repository: Path = Path()) -> Path:
    """The page over all studies below `root`, from their verdicts: no record is read again."""
    for _ in range(MOST_TRIES):
        found = _look(root, repository)
        path = index.write_index_page(root, *found)
        if found == _look(root, repository):  # else another sweep has reported meanwhile
            break
    return path


def write_list(results: Path) -> Path | None:
    """`REPORT.md` over all reported studies below `results`; None where there are none. One whose
    verdict is damaged is listed as that.
    """
    rows = [["study", "data set", "supported", "refuted", "inconclusive"]]
    for path in sorted(results.glob(f"*/*/{VERDICT}")):
        name = path.parent.relative_to(results).as_posix()
        rows.append([f"[{name}]({name}/{REPORT})", *_row(path.parent)])
    if len(rows) == 1:
        return None
    head = "# Committed results\n\nOne line a study; `make report` rewrites it."
    write_atomically(results / REPORT, f"{head}\n\n{tables.markdown(rows)}\n".encode())
    return results / REPORT


def _row(folder: Path) -> list[str]:
    try:
        verdict = verdict_file.read_own(folder)
    except StudyError:
        return [f"`{VERDICT}` is damaged", "", "", ""]
    answers = [claim["answer"] for claim in verdict["claims"]]
    counts = [str(answers.count(each)) for each in (SUPPORTED, REFUTED, INCONCLUSIVE)]
    return [verdict["data"], *counts]


def _look(root: Path, repository: Path) -> tuple[list[Entry], list[Unreported]]:
    """The studies that have answers, and those that have none, a damaged file or a page that says
    why the answers no longer hold.
    """
    entries, unreported = [], []
    for folder in folders(root):
        name = folder.relative_to(root).as_posix()
        page = f"{name}/{PAGE}" if (folder / PAGE).exists() else ""
        reason = ""
        try:
            found = _entry(folder, page or f"{name}/{REPORT}", repository)
            if found and not is_refusal(folder):
                entries.append(found)
                continue
        except StudyError as error:
            reason = " ".join(str(error).split())
        unreported.append(Unreported(name, page, reason))
    return entries, unreported


def _entry(folder: Path, link: str, repository: Path) -> Entry | None:
    """None where there is no verdict."""
    if not (content := verdict_file.read_own(folder)):
        return None
    verdicts, lines = verdict_file.verdicts(folder, content), verdict_file.lines(content)
    return index.entry(folder, content, verdicts, lines, link=link, repository=repository)
