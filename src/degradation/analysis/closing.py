"""What `make reproduce` and `make report` end with."""

from pathlib import Path

from degradation.analysis import figures, overview, tables, verdict_file
from degradation.analysis.overview import REPORT
from degradation.analysis.page.index import INDEX
from degradation.analysis.page.study import PAGE
from degradation.analysis.sources import read_records


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
