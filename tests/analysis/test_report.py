"""Reports: written from records alone, numbers traceable to the runs."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.analysis.pages import Page
from tests.analysis.synthetic import FINAL_PCT, write_run, write_study

from degradation.analysis import tables
from degradation.analysis.closing import closing_text
from degradation.analysis.curves import Curve, RunCurves, Study, StudyError
from degradation.analysis.judge import INCONCLUSIVE, REFUTED, Verdict
from degradation.analysis.overview import write_index, write_list
from degradation.analysis.report import write_report

ROOT = Path(__file__).parents[2]
EMPTY = {
    "schema": 1,
    "experiment": "a",
    "preset": "b",
    "data": "c",
    "confidence": 0.95,
    "claims": [],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("outputs") / "depth_sweep" / "quick", seeds=2)
    write_run(folder, "plain", 110, 2, None)
    write_report(folder, ROOT)
    return folder


def test_everything_is_written_and_rewriting_changes_nothing(study: Path) -> None:
    names = {path.name for path in study.iterdir()} - {"runs"}
    assert names == {
        "table.csv", "verdict.json", "REPORT.md", "report.html",
        *(f"{stem}{theme}.{form}" for stem in ("curves", "final_error", "forming")
          for theme in ("", ".dark") for form in ("png", "svg")),
    }  # fmt: skip
    before = {name: (study / name).read_bytes() for name in names}
    light = {name for name in names if ".dark." not in name}
    assert {path.name for path in write_report(study, ROOT)} == light
    assert {name: (study / name).read_bytes() for name in names} == before


def test_below_each_figure_stand_data_set_preset_and_n() -> None:
    """Of every committed study; the chain rule's toy shows no runs, and says so."""
    captions = {
        (path.parent.parent.name, stem): text
        for path in ROOT.glob("results/*/*/REPORT.md")
        for stem, text in re.findall(r"!\[.*\]\((.*)\.png\)\n\n(.*)", path.read_text())
    }
    assert len(captions) > 30
    for (_, stem), text in captions.items():
        said = "no measurement" if stem == "chain_rule" else r"\w+, preset \w+, n = \d+"
        assert re.search(said, text), text
    assert "n = 1 seed." in captions["shattered_gradients", "shattering_slopes"]


def test_table_has_a_line_a_run(study: Path) -> None:
    with (study / "table.csv").open(newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert len(rows) == 2 * len(FINAL_PCT) + 1
    assert rows["plain-110-s2"]["status"] == "diverged"
    assert rows["plain-110-s2"]["test/error_pct"] == ""
    lost, kept = (
        json.loads((study / "runs" / name / "metrics.jsonl").read_text().splitlines()[-1])[
            "iteration"
        ]
        for name in ("plain-110-s2", "plain-110-s1")
    )
    assert rows["plain-110-s2"]["iterations"] == str(lost)
    assert lost < kept
    assert rows["plain-110-s1"]["iterations"] == str(kept)
    summary = json.loads((study / "runs" / "residual-34-s1" / "summary.json").read_text())
    found = float(rows["residual-34-s1"]["eval/train_error_pct"])
    assert found == pytest.approx(summary["last"]["eval/train_error_pct"], rel=1e-4)
    assert rows["residual-34-s1"]["multiply_adds"] == str(summary["multiply_adds"])


def test_verdict_names_seeds_and_diverged_runs(study: Path) -> None:
    verdict = json.loads((study / "verdict.json").read_text())
    assert verdict["data"] == "cifar10"
    assert verdict["seeds"]["plain-110"] == [0, 1, 2]
    claim = next(c for c in verdict["claims"] if c["id"] == "plain-degrades-18-110")
    assert claim["diverged"] == {"plain-110": 1}
    assert claim["answer"] == "SUPPORTED"


def test_report_says_what_a_reader_needs(study: Path) -> None:
    text = (study / "REPORT.md").read_text()
    for words in (
        "preset quick, on CIFAR-10", "1 of 3 runs of plain-110 diverged", "![", "torch 2.11.0",
        "claimed for longer training, in `more_iterations`",
        "| residual-56 | 6.97 |", "| residual-18 |  |",
        "here for 600 iterations", "+experiment=depth_sweep preset=quick seed=0,1,2\n",
    ):  # fmt: skip
        assert words in text


def test_shapes_are_named_wherever_they_are_reported(tmp_path: Path) -> None:
    study = tmp_path / "depth_sweep_shapes" / "quick"
    changes: dict[str, Any] = {"experiment": "depth_sweep_shapes", "data": {"name": "shapes"}}
    write_study(study, 2, {("plain", 18): 30.0, ("residual", 18): 28.0}, **changes)
    write_report(study, ROOT)
    text = (study / "REPORT.md").read_text()
    assert "shapes (procedural, not CIFAR-10)" in text.splitlines()[0]
    assert "6.97" not in text
    assert json.loads((study / "verdict.json").read_text())["data"] == "shapes"


def test_closing_table_has_a_line_a_claim(study: Path, tmp_path: Path) -> None:
    committed = tmp_path / "results" / "depth_sweep" / "quick"
    committed.mkdir(parents=True)
    alone = closing_text(study, committed)
    shutil.copy(study / "verdict.json", committed)
    text = closing_text(study, committed)
    claims = json.loads((study / "verdict.json").read_text())["claims"]
    for claim in claims:
        (line,) = (line for line in text.splitlines() if line.startswith(claim["id"] + " "))
        assert line.count(claim["answer"]) == 2
        (line,) = (line for line in alone.splitlines() if line.startswith(claim["id"] + " "))
        assert line.count(claim["answer"]) == 1
    assert text.rstrip().endswith("forming.svg")
    index_page = study.parents[1] / "index.html"
    assert f"\n{study.as_posix()}/report.html\n{index_page.as_posix()}\n" in text
    index = write_list(tmp_path / "results")
    assert index is not None
    assert "[depth_sweep/quick](depth_sweep/quick/REPORT.md) | cifar10 | " in index.read_text()
    assert write_list(tmp_path / "nothing") is None


def test_a_study_without_errors_ends_in_its_claims_alone() -> None:
    text = closing_text(ROOT / "results" / "identity_mapping" / "quick", None)
    assert "last iterate" not in text
    assert "residual-starts-there" in text


def test_runs_without_an_experiment_are_drawn_and_not_judged(tmp_path: Path) -> None:
    study = write_study(tmp_path / "adhoc" / "quick", 3, experiment="adhoc")
    written = {path.name for path in write_report(study, tmp_path)}
    assert {"REPORT.md", "report.html", "curves.png", "final_error.png"} <= written
    text, page = (study / "REPORT.md").read_text(), (study / "report.html").read_text()
    assert "nothing was claimed of them beforehand, so nothing is judged" in text
    assert "+experiment=adhoc" not in text
    assert "Plain nets degrade." in page
    assert "Nothing was claimed of these runs beforehand, so nothing is judged" in page
    assert 'class="badge' not in page
    assert "claim  paper" not in closing_text(study, None)


def test_a_study_without_ended_runs_is_refused(tmp_path: Path) -> None:
    study = tmp_path / "depth_sweep" / "quick"
    (write_run(study, "plain", 18, 0, 50) / "summary.json").unlink()
    with pytest.raises(StudyError, match="none of its 1 runs has finished"):
        write_report(study, ROOT)


def test_a_report_that_is_refused_leaves_nothing_of_an_earlier_one(
    study: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "depth_sweep" / "quick"
    shutil.copytree(study, folder)
    (folder / "reconstructions.png").write_bytes(b"another script's")
    write_run(folder, "plain", 34, 9, 60.0, preset="paper")
    with pytest.raises(StudyError, match="preset"):
        write_report(folder, ROOT)
    assert {path.name for path in folder.iterdir()} == {
        "runs", "report.html", "reconstructions.png",
    }  # fmt: skip


def test_a_damaged_verdict_does_not_stop_the_others_report(study: Path, tmp_path: Path) -> None:
    """By the command, as `make report` and `make pages` call it."""
    for path in ("experiments", "scripts"):
        (tmp_path / path).symlink_to(ROOT / path)
    results = tmp_path / "results"
    shutil.copytree(study, results / "depth_sweep" / "quick")
    (results / "lesion" / "quick").mkdir(parents=True)
    (results / "lesion" / "quick" / "verdict.json").write_text("{")

    def call(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, f"scripts/{script}.py"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    report = call("report")
    assert (report.returncode, report.stderr) == (0, "")
    assert "plain-degrades-18-110" in report.stdout
    pages = call("pages")
    assert pages.returncode == 2
    assert pages.stdout.split() == ["results/depth_sweep/quick/report.html", "results/index.html"]
    assert re.fullmatch("error: results/lesion/quick/verdict.json: .*\n", pages.stderr)


def test_published_numbers_are_the_papers() -> None:
    """He et al. 2015, Table 6; no net of depth 18 or 34."""
    numbers = {arm: entry.test_error_pct for arm, entry in tables.published().items()}
    table_6 = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}
    assert {f"residual-{d}": e for d, e in table_6.items()}.items() <= numbers.items()
    assert not {arm for arm in numbers if arm.endswith(("-18", "-34"))}


def test_what_the_paper_states_as_a_bound_is_shown_as_one() -> None:
    """Fig. 6's caption: plain-110 above 60 % test error; Sec. 4.2: 1202 layers below 0.1 % training
    error, at 7.93 % test error.
    """
    cells = {
        (arm, name): tables._paper_cell(arm, name)
        for arm in ("plain-110", "residual-1202")
        for name in ("test", "training")
    }
    assert cells == {
        ("plain-110", "test"): "above 60",
        ("plain-110", "training"): "",
        ("residual-1202", "test"): "7.93",
        ("residual-1202", "training"): "below 0.1",
    }


def test_the_p_beside_a_refuted_claim_is_that_of_its_contrary() -> None:
    claim = ("rises", "It rises.", "superiority", "test/error_pct(plain,56)", 5.0)
    p = {"p_holm": 0.98, "p_contrary_holm": 0.012}
    verdicts = [Verdict(*claim, answer, "", **p) for answer in (REFUTED, INCONCLUSIVE)]  # type: ignore[arg-type]
    rows = tables.verdict_rows(verdicts, 0.95)
    assert [row[-1] for row in rows] == ["p (Holm)", "0.012 of the contrary", "0.98"]


def test_numbers_of_probes_are_tabulated_by_arm() -> None:
    """At the end those of its last record alone, not what a run had before its gradient vanished or
    it diverged.
    """
    key = "probe/first_layer/l2"

    def run(seed: int, ends: bool, **curve: float) -> RunCurves:
        points = {int(at.removeprefix("at_")): value for at, value in curve.items()}
        curves = {
            key: Curve(list(points), list(points.values())),
            "probe/gradients/weight/3": Curve([0], [9.0]),
            "test/loss": Curve([10], [0.5]),
        }
        has = {key: points[10]} if 10 in points else {}
        status, last = ("finished", {"test/loss": 0.5} | has) if ends else ("diverged", {})
        name, reached = f"plain-4-s{seed}", 10 if ends else max(points)
        return RunCurves(name, "plain-4", "plain", 4, seed, status, 10, last, curves, reached)

    runs = [run(0, True, at_0=1, at_10=4), run(1, True, at_0=3, at_10=4)]
    vanished, diverged = run(2, True, at_0=2, at_5=7), run(3, False, at_0=2, at_5=8)
    study = Study(Path("drawn"), [*runs, vanished, diverged])
    assert tables.measured_rows(study)[1:] == [
        ["plain-4", "first_layer/l2", "2 ± 0.82", "4", "4 ± 0", "2"],
        ["plain-4", "test/loss", "", "0", "0.5 ± 0", "3"],
    ]
    assert not tables.measured_rows(Study(Path("drawn"), []))


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "{}", '{"claims": [1]}', '{"claims": [], "confidence": "0.95"}', "NaN"),
        "[" * 5000,
        json.dumps(EMPTY | {"found": [{"head": "Plain nets degrade."}]}),
    ],
)
def test_a_damaged_verdict_is_one_line(study: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "depth_sweep" / "quick" / "verdict.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(StudyError, match=f"{path}: not a ") as one:
        closing_text(study, path.parent)
    assert "\n" not in str(one.value)
    assert "`make report EXPERIMENT=depth_sweep PRESET=quick`" in str(one.value)
    others = tmp_path / "blocks" / "quick" / "verdict.json"
    others.parent.mkdir(parents=True)
    others.write_text(json.dumps(EMPTY | {"experiment": "blocks", "preset": "quick"}))
    listed = write_list(tmp_path)
    assert listed is not None
    link = "[depth_sweep/quick](depth_sweep/quick/REPORT.md)"
    assert f"| {link} | `verdict.json` is damaged |  |  |  |" in listed.read_text()
    assert "| [blocks/quick](blocks/quick/REPORT.md) | c | 0 | 0 | 0 |" in listed.read_text()
    index = Page(write_index(tmp_path))  # where one is damaged the others are shown
    assert f"depth_sweep/quick: {path}: not a " in index.text
