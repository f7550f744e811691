"""A study's `verdict.json`, written and read back: it may be of an older version, or damaged."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from degradation import plain
from degradation.analysis.claims import Claims
from degradation.analysis.curves import Study, StudyError
from degradation.analysis.estimands import KINDS
from degradation.analysis.judge import Verdict
from degradation.analysis.page.badges import SIGNS, badge
from degradation.analysis.page.summary import Line

VERDICT = "verdict.json"
SCHEMA = 1


def content_of(
    claims: Claims,
    preset: str,
    study: Study,
    verdicts: list[Verdict],
    *,
    found: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """The answers, what they were made from, and `found`, what the study found of depth in the
    report page's words, so that the index need not read all its records again.
    """
    return {
        "schema": SCHEMA,
        "experiment": claims.experiment,
        "preset": preset,
        "data": claims.data,
        "precision": study.precision,
        "claims_file": claims.path.as_posix(),
        "level": claims.level,
        "confidence": 1 - 2 * claims.level,
        "seeds": {arm: sorted(run.seed for run in study.ended(arm)) for arm in study.arms},
        "unfinished": [run.name for run in study.runs if not run.has_ended],
        **({"runs": study.seeds_text} if study.runs else {}),
        **({"found": list(found)} if found else {}),
        "claims": [asdict(verdict) for verdict in verdicts],
    }


def read(study_dir: Path) -> dict[str, Any]:
    """Empty where there is none. Raises StudyError, one line, for what no judge wrote."""
    path = study_dir / VERDICT
    try:
        content: Any = plain.json_of(path.read_bytes())
    except FileNotFoundError:
        return {}
    except plain.PlainError as error:
        text = f"not a JSON object of plain values: {error}"
        raise StudyError(f"{path}: {text}; {anew(study_dir)}") from None
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror}") from None
    if not _is_verdict(content):
        raise StudyError(f"{path}: not a verdict; {anew(study_dir)}")
    verdict: dict[str, Any] = content
    return verdict


def read_own(study_dir: Path) -> dict[str, Any]:
    """As `read`; raises StudyError also for the verdict of another study than the folder's."""
    content = read(study_dir)
    name = f"{study_dir.parent.name}/{study_dir.name}"
    if content and (found := f"{content['experiment']}/{content['preset']}") != name:
        raise StudyError(f"{study_dir / VERDICT}: the verdict of {found}, not of {name}")
    return content


def anew(study_dir: Path) -> str:
    """What to call for a verdict that cannot be used."""
    command = f"make report EXPERIMENT={study_dir.parent.name} PRESET={study_dir.name}"
    return f"`{command}` writes it anew from the runs"


def verdicts(study_dir: Path, content: Mapping[str, Any]) -> list[Verdict]:
    """The claims of a file that was read. Raises StudyError where a key is missing or unknown."""
    try:
        found = [Verdict(**claim) for claim in content["claims"]]
        if unknown := {badge(each).answer for each in found} - SIGNS.keys():
            raise ValueError(unknown)
    except (AttributeError, KeyError, TypeError, ValueError):
        text = f"claims that no judge wrote; {anew(study_dir)}"
        raise StudyError(f"{study_dir / VERDICT}: {text}") from None
    return found


def lines(content: Mapping[str, Any]) -> list[Line]:
    """What the study found of depth; none in a file of before these were kept."""
    return [Line(**line) for line in content.get("found", ())]


def _is_verdict(content: Any) -> bool:
    """Whether it has what the closing text and the index show of it."""
    if not isinstance(content, dict) or not isinstance(content.get("claims"), list):
        return False
    texts = [content.get(key) for key in ("experiment", "preset", "data")]
    is_headed = content.get("schema") == SCHEMA and all(isinstance(text, str) for text in texts)
    is_headed &= plain.is_number(content.get("confidence"))
    is_headed &= isinstance(content.get("runs", ""), str)
    found = content.get("found", [])
    is_headed &= isinstance(found, list) and all(map(_is_line, found))
    return is_headed and all(map(_is_claim, content["claims"]))


def _is_line(line: Any) -> bool:
    names = Line.__dataclass_fields__.keys()
    return (
        isinstance(line, dict)
        and line.keys() == names
        and all(isinstance(text, str) for text in line.values())
        and line["kind"] in KINDS
    )


def _is_claim(claim: Any) -> bool:
    needed = {"id", "paper", "answer", "estimate", "interval", "n", "diverged"}
    if not isinstance(claim, dict) or not needed <= claim.keys():
        return False
    interval, counts = claim["interval"], [claim["n"], claim["diverged"]]
    return (
        all(isinstance(claim[key], str) for key in ("id", "paper", "answer"))
        and (claim["estimate"] is None or plain.is_number(claim["estimate"]))
        and (interval is None or (isinstance(interval, list) and len(interval) == 2))
        and all(map(plain.is_number, interval or ()))
        and all(isinstance(count, dict) for count in counts)
        and all(plain.is_number(n) for count in counts for n in count.values())
    )
