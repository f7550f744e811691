"""Tables for people: verdicts, arms beside the published numbers, runs."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from degradation.analysis.claims import EQUIVALENCE, NON_INFERIORITY, SUPERIORITY
from degradation.analysis.curves import Study
from degradation.analysis.estimands import COUNTS, ERRORS, PROBE, Metric
from degradation.analysis.judge import NOT_JUDGED, REFUTED, Verdict
from degradation.analysis.series import values_of

PUBLISHED = Path(__file__).with_name("published.csv")
PAPER = "He et al. 2015"
Rows = list[list[str]]
"""The heading first."""


@dataclass(frozen=True)
class Published:
    """The paper's numbers for one arm; None where it has none."""

    test_error_pct: float | None
    train_error_pct: float | None
    note: str


@cache
def published() -> dict[str, Published]:
    """The paper's by arm. It has no plain or residual net of depth 18 or 34 on CIFAR-10."""
    with PUBLISHED.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"].startswith(PAPER)]
    return {
        f"{row['kind']}-{row['depth']}": Published(
            float(row["test_error_pct"]) if row["test_error_pct"] else None,
            float(row["train_error_pct"]) if row["train_error_pct"] else None,
            row["note"],
        )
        for row in rows
    }


def number(value: float | None) -> str:
    """Two decimals for errors, none for iterations, two digits for what is small."""
    if value is None:
        return ""
    if 0 < abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"


def answer_cell(claim: Mapping[str, Any]) -> str:
    """An entry of `verdict.json` in a few words: answer, estimate, interval, n."""
    parts = [claim["answer"], number(claim["estimate"])]
    if claim["interval"]:
        low, high = claim["interval"]
        parts.append(f"[{number(low)}, {number(high)}]")
    counts = sorted(set(claim["n"].values()))
    parts.append("n=" + "-".join(map(str, (counts[0], counts[-1]) if len(counts) > 1 else counts)))
    if diverged := sum(claim["diverged"].values()):
        parts.append(f"({diverged} diverged)")
    return " ".join(part for part in parts if part)


def notes(verdict: Verdict) -> list[str]:
    """What to know beside the answer."""
    found = [verdict.reason] if verdict.reason else []
    for arm, count in verdict.diverged.items():
        found.append(f"{count} of {verdict.n[arm]} runs of {arm} diverged and count as 90 % error")
    for arm, count in verdict.censored.items():
        found.append(
            f"{count} of {verdict.n[arm]} runs of {arm} never came down to the level and count as "
            "the full length"
        )
    if verdict.p_permutation is not None:
        found.append(f"permutation test p = {verdict.p_permutation:.4f}")
    return found


def verdict_rows(verdicts: Sequence[Verdict], confidence: float) -> Rows:
    rows = [["claim", "answer", f"estimate [{confidence:.0%} interval]", "margin", "n", "p (Holm)"]]
    for verdict in verdicts:
        estimate = number(verdict.estimate)
        if verdict.interval:
            estimate += " [{}, {}]".format(*map(number, verdict.interval))
        sign = {SUPERIORITY: "> ", NON_INFERIORITY: "< ", EQUIVALENCE: "± "}.get(verdict.type, "= ")
        n = ", ".join(f"{arm}: {count}" for arm, count in verdict.n.items())
        same = len(set(verdict.n.values())) == 1
        p = "" if verdict.p_holm is None else f"{verdict.p_holm:.2g}"
        if verdict.answer == REFUTED and verdict.p_contrary_holm is not None:
            p = f"{verdict.p_contrary_holm:.2g} of the contrary"
        rows.append(
            [verdict.id, verdict.answer, estimate, sign + number(verdict.margin),
             str(next(iter(verdict.n.values()))) if same else n, p]
        )  # fmt: skip
    return rows


def verdict_text(verdicts: Sequence[Verdict], confidence: float) -> str:
    """The answers as text for a terminal, with what to know beside them."""
    lines = [text_table(verdict_rows(verdicts, confidence)), ""]
    lines += [f"{verdict.id}: {note}" for verdict in verdicts for note in notes(verdict)]
    if any(verdict.answer == NOT_JUDGED for verdict in verdicts):
        lines.append("NOT JUDGED is no answer: a CSV file has no parameters or multiply-adds.")
    return "\n".join(lines).rstrip()


def arm_rows(study: Study, metric: str, name: str) -> Rows:
    """Mean and standard deviation over seeds beside the paper's number, where it is of the same
    images.
    """
    held_out = name == "test" and study.holds_out
    ours = "held out" if held_out else name
    rows = [["arm", f"paper, {name} error %", f"this study, {ours} error %", "n", "diverged"]]
    for arm in study.arms:
        runs = study.ended(arm)
        count = sum(run.value(Metric(metric)) is not None for run in runs)
        diverged = sum(run.status == "diverged" for run in runs)
        paper = _paper_cell(arm, name) if study.is_of_the_papers_nets and not held_out else ""
        rows.append([arm, paper, error_cell(study, arm, metric), str(count), str(diverged)])
    return rows


def measured_rows(study: Study) -> Rows:
    """Mean and standard deviation over seeds of what was measured besides errors, layer by layer
    numbers aside: before the first step, and of the last record; each with its number of runs.
    """
    has_errors = any(run.last.keys() & set(ERRORS) for run in study.runs)
    losses = () if has_errors else ("test/loss",)
    keys = dict.fromkeys(
        key
        for run in study.runs
        for key in run.curves
        if key in losses or (key.startswith(PROBE) and not key.rpartition("/")[2].isdigit())
    )
    rows = [["arm", "measured", "before the first step", "n", "last record", "n"]]
    for arm in study.arms:
        runs = study.ended(arm)
        for key in keys:
            if any(key in run.curves for run in runs):
                name = key.removeprefix(PROBE)
                starts, ends = (
                    values_of(runs, Metric(key, is_first=is_first)) for is_first in (True, False)
                )
                rows.append([arm, name, *_spread(starts), *_spread(ends)])
    return rows if len(rows) > 1 else []


def _spread(values: Sequence[float]) -> tuple[str, str]:
    """And how many there are."""
    spread = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
    return f"{fmean(values):.3g}{spread}" if values else "", str(len(values))


def rates_text(study: Study) -> str:
    """The arms' learning rates where those without overrides have different ones, else empty."""
    rates = {
        run.arm: run.config.get("optim", {}).get("lr") for run in study.runs if not run.overrides
    }
    several = len(set(rates.values())) > 1
    return ", ".join(f"{arm} {rate:g}" for arm, rate in rates.items()) if several else ""


def error_cell(study: Study, arm: str, metric: str) -> str:
    """Mean ± standard deviation over seeds; empty where there is no run."""
    values = values_of(study.ended(arm), Metric(metric))
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{spread}" if values else ""


def closing_rows(this: Study, committed: Study | None) -> Rows:
    """Training and test error of each arm: the paper's, the committed and this run's."""
    seeds = sorted({run.seed for run in this.runs if run.has_ended})
    ours = f"this run, seeds {', '.join(map(str, seeds))}"
    rows = [["last iterate, error %", "paper", "committed", ours]]
    for name, metric in (("training", "eval/train_error_pct"), ("test", "test/error_pct")):
        if not any(metric in run.last for run in this.runs):
            continue  # nets that copy their input have none
        for arm, paper, error, *_ in arm_rows(this, metric, name)[1:]:
            before = error_cell(committed, arm, metric) if committed else ""
            shown = "held out" if name == "test" and this.holds_out else name
            rows.append([f"{arm} {shown}", paper, before, error])
    return rows


def _paper_cell(arm: str, name: str) -> str:
    entry = published().get(arm)
    value = getattr(entry, f"{'test' if name == 'test' else 'train'}_error_pct", None)
    if entry is None or value is None:
        return ""
    stated = re.search(r"(training error )?stated as (above|below)", entry.note)
    is_of_this = stated and bool(stated[1]) == (name != "test")
    return f"{stated[2]} {value:g}" if stated and is_of_this else f"{value:g}"


def write_table(path: Path, study: Study) -> None:
    """`table.csv`: a line a run; a diverged run has no errors here, elsewhere it counts as 90 %."""
    keys = [key for key in (*ERRORS, *COUNTS) if any(key in run.last for run in study.runs)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        head = ["run", "arm", "kind", "depth", "seed", "status", "iterations", "wall_s"]
        writer.writerow([*head, *keys])
        for run in study.runs:
            start = [run.name, run.arm, run.kind, run.depth, run.seed, run.status, run.reached]
            writer.writerow([*start, run.wall_s, *(_cell(run.last.get(key)) for key in keys)])


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if value != int(value) else f"{value:.0f}"


def markdown(rows: Rows) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text_table(rows: Rows) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (rows[0], rule, *rows[1:])
    )
