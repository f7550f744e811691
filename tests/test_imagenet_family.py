"""Counts and answers against a net counted by hand; the whole table in a folder of its own."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import read_json
from torch import nn

from degradation import imagenet_family
from degradation.analysis.claims import ClaimsError
from degradation.imagenet_family import COUNTS, CountClaim, Counts

ROOT = Path(__file__).parents[1]


class Small(nn.Sequential):
    """Two weighted layers and a projection: on 224 pixels a conv of 8 * 3 * 9 weights, a linear
    layer of 8 * 2 and 2 biases.
    """

    def __init__(self) -> None:
        conv, shortcut = (nn.Conv2d(3, 8, k, padding=k // 2, bias=False) for k in (3, 1))
        super().__init__()
        self.conv, self.shortcut, self.linear = conv, shortcut, nn.Linear(8, 2)

    def forward(self, x: Any) -> Any:
        return self.linear((self.conv(x) + self.shortcut(x)).mean((2, 3)))


def test_a_net_counted_by_hand() -> None:
    found = imagenet_family.count(Small(), 224)
    assert found == Counts(224, 1000, 2, 216 + 24 + 16 + 2, (216 + 24) * 224**2 + 16)


NETS = {
    "plain-34/224": Counts(224, 1000, 34, 100, 3_644),
    "vgg-19/224": Counts(224, 1000, 19, 900, 19_632),
}


def answer(**entry: Any) -> tuple[str, float | None]:
    common = {"id": "a", "sentence": "It is.", "source": "us", "paper": "", "net": "plain-34/224"}
    verdict = imagenet_family.judge(CountClaim(**common | entry), NETS)
    return verdict.answer, verdict.estimate


def test_answers() -> None:
    assert answer(of="layers", value=34) == ("SUPPORTED", 34)
    assert answer(of="layers", value=33) == ("REFUTED", 34)
    assert answer(of="multiply_adds", value=3_600, within=50) == ("SUPPORTED", 3_644)
    assert answer(of="multiply_adds", value=3_700, within=50) == ("REFUTED", 3_644)
    assert answer(of="parameters", minus="vgg-19/224", value=-800) == ("SUPPORTED", -800)
    found, percent = answer(of="multiply_adds", percent_of="vgg-19/224", value=18, within=0.5)
    assert found == "REFUTED"
    assert percent == pytest.approx(18.5615, abs=1e-4)


def test_the_command_writes_table_verdict_and_a_line_of_the_index(tmp_path: Path) -> None:
    (tmp_path / COUNTS).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / COUNTS, tmp_path / COUNTS)
    text = imagenet_family.write(tmp_path).read_text()
    folder = tmp_path / "results" / "imagenet_family" / "quick"
    verdict = read_json(folder / "verdict.json")
    answers = {claim["id"]: claim["answer"] for claim in verdict["claims"]}
    assert answers["multiply-adds-34-residual"] == answers["multiply-adds-34-plain"] == "SUPPORTED"
    assert answers["multiply-adds-vgg-19"] == "SUPPORTED"
    assert all(f"| {name} | {found} |" in text for name, found in answers.items())
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert {(row["net"], row["pixels"]) for row in rows} >= {("vgg-19", "224"), ("plain-34", "32")}
    (resnet,) = (row for row in rows if (row["net"], row["pixels"]) == ("residual-18-B", "224"))
    assert resnet["parameters"] == "11689512"  # as torchvision's documentation has it
    commit = read_json(folder / "environment.json")["git_commit"]
    assert str(commit) in text
    supported = sum(found == "SUPPORTED" for found in answers.values())
    index = (tmp_path / "results" / "REPORT.md").read_text()
    assert (
        f"imagenet_family/quick/REPORT.md) | none | {supported} | {len(answers) - supported} | 0 |"
        in index
    )


@pytest.mark.parametrize(
    "text",
    ["claims", "claims: [1]", "claims: [{id: a}]", "a: [", "claims: [{id: a, size: 3}]", "- 1"],
)
def test_counts_that_cannot_be_read_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "counts.yaml"
    path.write_text(text)
    with pytest.raises(ClaimsError, match=f"{path}: not a list of counts") as error:
        imagenet_family.read_claims(path)
    assert "\n" not in str(error.value)


def test_a_count_that_is_no_number_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "counts.yaml"
    path.write_text((ROOT / COUNTS).read_text().replace("value: ", "value: about ", 1))
    with pytest.raises(ClaimsError, match=r"counts.yaml: .*: value: 'about "):
        imagenet_family.read_claims(path)
