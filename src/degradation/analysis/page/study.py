"""A study's page, `report.html`: what was asked, the answers, the curves, how to do it again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from degradation.analysis import captions
from degradation.analysis.claims import EXPERIMENTS, Claims
from degradation.analysis.curves import Study
from degradation.analysis.estimands import KINDS
from degradation.analysis.judge import Verdict
from degradation.analysis.page import render, summary
from degradation.analysis.page.badges import MEANING, badge
from degradation.analysis.page.charts import charts, kind_colours
from degradation.analysis.page.values import curve_tables, final_tables
from degradation.analysis.series import has_test_at_the_end_alone

PAGE = "report.html"
NETS = "Plain: without shortcuts. Residual: with them, each block's input is added to its output."
_REFUSED = '<meta name="report" content="refused">'  # as in refusal.html
_WORDS = {
    "adhoc": "runs without an experiment",
    "lr": "learning rate",
    "cifar10": "on CIFAR-10",
    "imagenet": "ImageNet",
}


@dataclass(frozen=True)
class Picture:
    """A figure of the study's own."""

    path: Path
    title: str
    caption: str

    @property
    def uris(self) -> dict[str, str]:
        """By theme; the dark one only where it was drawn."""
        dark = self.path.with_suffix(".dark.png")
        paths = {"light": self.path, "dark": dark}
        return {theme: render.data_uri(path) for theme, path in paths.items() if path.exists()}


def write_study(
    folder: Path,
    study: Study,
    claims: Claims,
    verdicts: Sequence[Verdict],
    *,
    pictures: Sequence[Picture],
    account: str,
    repository: Path = Path(),
) -> Path:
    """`account`: tables, runs, how to do it again and limits, in Markdown."""
    assert study.experiment is not None
    assert study.preset is not None
    lines, drawn = summary.lines(study, claims, verdicts), charts(study)
    return _write(
        folder,
        study.experiment,
        verdicts,
        account,
        repository,
        facts=[study.scope, study.seeds_text, f"precision {study.precision}"],
        lines=lines,
        remarks=summary.remarks(study, lines),
        confidence=1 - 2 * claims.level,
        charts=drawn,
        values={kind: curve_tables(drawn, kind) for kind in KINDS} if drawn else {},
        final_values=final_tables(drawn) if drawn else [],
        curve_images=captions.curve_images(study),
        test_at_the_end=has_test_at_the_end_alone(study),
        is_about_errors=summary.judges_errors(claims, study.preset),
        pictures=pictures,
        has_spread=study.has_spread,
    )


def write_counts(
    folder: Path, experiment: str, verdicts: Sequence[Verdict], account: str, repository: Path
) -> Path:
    """Of a study without runs, which counts what nets are."""
    answers = [verdict.answer for verdict in verdicts]
    text = f"{summary.rest(answers)}Counted, not trained: no data, no seeds."
    lines = [summary.first(verdicts), summary.Line(summary.SURE, summary.share(answers), text)]
    return _write(
        folder, experiment, verdicts, account, repository,
        facts=["counts, no runs"], lines=lines, remarks=[], confidence=None, charts=None,
        values={}, final_values=[], curve_images="", is_about_errors=False, pictures=[],
        has_spread=False,
    )  # fmt: skip


def _write(
    folder: Path,
    experiment: str,
    verdicts: Sequence[Verdict],
    account: str,
    repository: Path,
    **values: Any,
) -> Path:
    readme = read_readme(experiment, repository)
    return render.write(
        folder / PAGE,
        "study.html",
        title=title_of(experiment),
        experiment=experiment,
        question=question_of(readme),
        asked=asked_of(readme),
        badges=[badge(verdict) for verdict in verdicts],
        meaning=MEANING,
        nets=NETS,
        kind_colours={kind: kind_colours(kind) for kind in KINDS},
        account=account,
        **values,
    )


def write_refusal(folder: Path, error: Exception) -> Path:
    """In the place of a page that would mix what must not be mixed, or show what is not there."""
    return render.write(
        folder / PAGE,
        "refusal.html",
        title=f"{title_of(folder.parent.name)}: no report",
        experiment=folder.parent.name,
        preset=folder.name,
        reason=" ".join(str(error).split()),
    )


def is_refusal(folder: Path) -> bool:
    """Whether its page is one; pages are large, so only their beginning is read."""
    try:
        with (folder / PAGE).open(encoding="utf-8", errors="replace") as page:
            return _REFUSED in page.read(1000)
    except OSError:
        return False


def title_of(experiment: str) -> str:
    """`depth_sweep` -> `Depth sweep`."""
    words = [_WORDS.get(word, word) for word in experiment.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def read_readme(experiment: str, repository: Path) -> str:
    """Empty where the experiment has none."""
    path = repository / EXPERIMENTS / experiment / "README.md"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def question_of(readme: str) -> str:
    """Its question, in Markdown, or its first paragraph."""
    paragraphs = [part.strip() for part in readme.split("\n\n") if part.strip()]
    asked = [part for part in paragraphs if part.startswith("**Question.**")]
    first = [part for part in paragraphs if not part.startswith("#")]
    return (asked or first or [""])[0].removeprefix("**Question.**").strip()


def asked_of(readme: str) -> str:
    """What stands in it between the question and the command: source, arms, what is measured."""
    before, command, _ = readme.partition("**Command.**")
    _, source, rest = before.partition("**Source.**")
    return source + rest if command else ""
