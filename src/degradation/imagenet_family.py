"""Layers, parameters and multiply-adds of the ImageNet nets, counted from the code and held against
the numbers in `experiments/imagenet_family/counts.yaml`.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from degradation import environment, plain
from degradation.analysis import tables, verdict_file
from degradation.analysis.claims import EXACT, Claims, ClaimsError
from degradation.analysis.curves import Study
from degradation.analysis.judge import REFUTED, SUPPORTED, Verdict
from degradation.analysis.overview import REPORT, write_index, write_list
from degradation.analysis.pages import write_counted
from degradation.analysis.report import TABLE
from degradation.analysis.verdict_file import VERDICT
from degradation.nets import count_parameters, multiply_adds
from degradation.nets.imagenet import BLOCKS, build_imagenet_model
from degradation.records import ENVIRONMENT, write_atomically, write_json

EXPERIMENT, PRESET = "imagenet_family", "quick"
COUNTS = Path("experiments", EXPERIMENT, "counts.yaml")
CLASSES = {224: 1000, 32: 10}
"""Pixels -> classes: ImageNet's and CIFAR-10's."""
ARMS = (("plain", ""), ("residual", ""), ("residual", "B"))
"""Kind, and the shortcut where it is not A."""


@dataclass(frozen=True)
class Counts:
    """One net at one size of images."""

    pixels: int
    classes: int
    layers: int
    """Weighted ones, without the shortcuts' projections."""
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class CountClaim:
    """One entry of `counts.yaml`, which explains the fields."""

    id: str
    sentence: str
    source: str
    paper: str
    of: str
    net: str
    value: float
    within: float = 0.0
    minus: str = ""
    percent_of: str = ""


def count_all() -> dict[str, Counts]:
    """By name: `residual-34-B/224`, and `vgg-19/224`. The nets have no memory for their weights."""
    from torchvision.models import vgg19

    found = {}
    with torch.device("meta"):
        for pixels, depth, (kind, option) in product(CLASSES, BLOCKS, ARMS):
            model = build_imagenet_model(kind, depth, option or "A", pixels, CLASSES[pixels])
            name = "-".join(filter(None, (kind, str(depth), option)))
            found[f"{name}/{pixels}"] = count(model, pixels)
        found["vgg-19/224"] = count(vgg19(), 224)
    return found


def count(model: nn.Module, pixels: int) -> Counts:
    layers = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    parameters, total = count_parameters(model), multiply_adds(model, (3, pixels, pixels))
    return Counts(pixels, CLASSES[pixels], len(layers), parameters, total)


def read_claims(path: Path) -> list[CountClaim]:
    """Raises ClaimsError for a file that is no list of such entries."""
    try:
        claims = [CountClaim(**entry) for entry in plain.yaml_of(path)["claims"]]
    except (plain.PlainError, KeyError, TypeError) as error:
        raise ClaimsError(f"{path}: not a list of counts: {plain.shown(str(error))}") from None
    for claim in claims:
        for name, value in asdict(claim).items():
            is_one = plain.is_number(value)
            if not (is_one if name in ("value", "within") else isinstance(value, str)):
                raise ClaimsError(f"{path}: {claim.id}: {name}: {value!r}")
    return claims


def judge(claim: CountClaim, counts: Mapping[str, Counts]) -> Verdict:
    def number(net: str) -> float:
        return float(getattr(counts[net], claim.of))

    found, text = number(claim.net), f"{claim.of}({claim.net})"
    if claim.minus:
        found, text = found - number(claim.minus), f"{text} - {claim.of}({claim.minus})"
    if claim.percent_of:
        found, text = 100 * found / number(claim.percent_of), f"{text} in % of {claim.percent_of}"
    answer = SUPPORTED if abs(found - claim.value) <= claim.within else REFUTED
    reason = f"within {tables.number(claim.within)}" if claim.within else ""
    return Verdict(
        claim.id, claim.sentence, EXACT, text, claim.value, answer, reason, estimate=found,
        source=claim.source, paper=claim.paper,
    )  # fmt: skip


def write(repository: Path) -> Path:
    """Table, verdict, environment and report into `results/`; the report's path."""
    results = repository / "results"
    folder = results / EXPERIMENT / PRESET
    folder.mkdir(parents=True, exist_ok=True)
    described = environment.describe(torch.device("cpu"), [])
    described["command"] = "python scripts/imagenet_table.py"
    counts, claims = count_all(), read_claims(repository / COUNTS)
    verdicts = [judge(claim, counts) for claim in claims]
    # nothing is estimated: no error rate, no runs, no data
    file = Claims(COUNTS, EXPERIMENT, "none", 0.0, {}, ())
    content = verdict_file.content_of(file, PRESET, Study(folder, []), verdicts)
    write_json(folder / VERDICT, content)
    write_json(folder / ENVIRONMENT, described)
    rows = table(counts, claims)
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as output:
        csv.writer(output, lineterminator="\n").writerows(rows)
    text = report(rows, verdicts, described)
    write_atomically(folder / REPORT, text.encode())
    write_counted(folder, repository)
    write_list(results)
    write_index(results, repository)
    return folder / REPORT


def table(counts: Mapping[str, Counts], claims: Sequence[CountClaim]) -> tables.Rows:
    """A line a net, the paper's multiply-adds beside it where it prints some."""
    paper = {
        claim.net: claim.paper
        for claim in claims
        if claim.of == "multiply_adds" and not claim.minus and not claim.percent_of
    }
    rows = [["net", "pixels", "classes", "layers", "parameters", "multiply-adds", "paper"]]
    for name, found in counts.items():
        numbers = map(str, astuple(found))
        rows.append([name.split("/")[0], *numbers, paper.get(name, "")])
    return rows


def report(rows: tables.Rows, verdicts: Sequence[Verdict], described: Mapping[str, Any]) -> str:
    shown = [rows[0], *([*row[:4], *(f"{int(n):,}" for n in row[4:6]), row[6]] for row in rows[1:])]
    lines = [f"- **{v.id}: {v.answer}.** {v.sentence} ({v.source})" for v in verdicts]
    packages = described["packages"]
    changes = " with uncommitted changes" if described["git_dirty"] else ""
    sections = [
        f"# {EXPERIMENT}",
        "Written by `make imagenet-table`; do not edit. Question and source: "
        f"`experiments/{EXPERIMENT}/README.md`; the numbers expected, written before: "
        f"`{COUNTS.as_posix()}`. Counted from the code: no data, no training, no seeds.",
        "## Nets",
        tables.markdown(shown),
        "Plain and residual have option A, `-B` projections where the size changes. Layers are the "
        "weighted ones, projections aside; multiply-adds are those of convs and linear layers for "
        "one image.",
        "## Answers",
        tables.markdown(answers(verdicts)),
        "\n".join(lines),
        "## Again",
        "```\nmake imagenet-table\n```",
        f"Commit {described['git_commit']}{changes}; PyTorch {packages['torch']}, "
        f"torchvision {packages['torchvision']} (VGG-19).",
    ]
    return "\n\n".join(sections) + "\n"


def answers(verdicts: Sequence[Verdict]) -> tables.Rows:
    rows = [["claim", "answer", "found", "paper", "expected"]]
    for verdict in verdicts:
        assert verdict.estimate is not None
        expected = " ".join(filter(None, (tables.number(verdict.margin), verdict.reason)))
        found = tables.number(verdict.estimate)
        rows.append([verdict.id, verdict.answer, found, verdict.paper, expected])
    return rows
