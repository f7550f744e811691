"""The report page: its numbers are the records', and it shows nothing that they do not hold."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from scipy import stats
from tests.analysis.pages import Page
from tests.analysis.synthetic import write_judged, write_run, write_study
from tests.helpers import read_json, read_lines

from degradation.analysis import overview, verdict_file
from degradation.analysis.claims import ClaimsError
from degradation.analysis.curves import StudyError
from degradation.analysis.overview import write_index
from degradation.analysis.page import index
from degradation.analysis.page.badges import badge
from degradation.analysis.pages import write_counted, write_page, write_pages
from degradation.analysis.report import write_report

ROOT = Path(__file__).parents[2]
ARMS = {("plain", 18): 56.0, ("plain", 110): 89.0, ("residual", 18): 47.0, ("residual", 110): 55.0}
LESION = ROOT / "results" / "lesion" / "quick" / "verdict.json"
HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)> "'&{{ 7*7 }}"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("outputs") / "depth_sweep" / "quick", 3, ARMS)
    write_run(folder, "plain", 110, 3, None)
    write_judged(folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def page(study: Path) -> Page:
    return Page(study / "report.html")


def errors(study: Path, arm: str, key: str, iteration: int) -> list[float]:
    rows = [read_lines(path) for path in study.glob(f"runs/{arm}-s*/metrics.jsonl")]
    return [row[key] for run in rows for row in run if row["iteration"] == iteration and key in row]


@pytest.mark.parametrize(
    ("split", "key"),
    [("training", "eval/train_subset_error_pct"), ("test", "test/subset_error_pct")],
)
def test_curves_are_the_means_and_the_spread_of_the_records(
    study: Path, page: Page, split: str, key: str
) -> None:
    found = 0
    for traces in page.data["panels"].values():
        for trace in traces:
            meta = trace["meta"]
            if meta["split"] != split or "customdata" not in trace or meta["arm"] == "plain-110":
                continue
            for iteration, shown in zip(trace["x"], trace["customdata"], strict=True):
                seeds = errors(study, meta["arm"], key, iteration)
                assert len(seeds) == 3
                assert shown == pytest.approx([fmean(seeds), min(seeds), max(seeds)])
            assert [each[0] for each in trace["customdata"]] == trace["y"]
            found += 1
    assert found == 3


def test_a_diverged_run_goes_on_at_chance_and_is_counted_in_the_legend(
    study: Path, page: Page
) -> None:
    (line,) = (
        trace
        for trace in page.data["panels"]["plain"]
        if trace["meta"]["arm"] == "plain-110"
        and trace["meta"]["split"] == "training"
        and "customdata" in trace
    )
    ended = errors(study, "plain-110", "eval/train_subset_error_pct", 600)
    assert len(ended) == 3  # the fourth diverged at half the length
    assert line["y"][line["x"].index(600)] == pytest.approx(fmean([*ended, 90.0]))
    assert "110 layers 1 of 4 diverged" in page.text
    assert "1 of 4 runs of 110 layers diverged and count as 90 %" in page.text


def final(study: Path, arm: str) -> list[float]:
    summaries = [read_json(path) for path in sorted(study.glob(f"runs/{arm}-s*/summary.json"))]
    return [each["last"].get("eval/train_error_pct", 90.0) for each in summaries]


def test_final_errors_are_the_summaries(study: Path, page: Page) -> None:
    (line,) = (
        trace
        for trace in page.data["final"]
        if trace["name"] == "residual, training" and "error_y" in trace
    )
    values = [final(study, arm) for arm in ("residual-18", "residual-110")]
    assert line["y"] == pytest.approx([fmean(each) for each in values])
    half = [stats.t.interval(0.95, 2, 0, stats.sem(each))[1] for each in values]
    assert line["error_y"]["array"] == pytest.approx(half)
    (dots,) = (
        trace
        for trace in page.data["final"]
        if trace["name"] == "residual, training" and trace["meta"].get("dots")
    )
    assert sorted(dots["y"]) == pytest.approx(sorted(values[0] + values[1]))


@pytest.mark.parametrize(
    ("split", "key"),
    [("training", "eval/train_subset_error_pct"), ("test", "test/subset_error_pct")],
)
def test_the_values_below_a_chart_are_the_means_of_the_records(
    study: Path, page: Page, split: str, key: str
) -> None:
    for kind, heads in (
        ("plain", ["18 layers, n = 3", "110 layers, 1 of 4 diverged"]),
        ("residual", ["18 layers, n = 3", "110 layers, n = 3"]),
    ):
        head, *rows = page.tables[f"{kind.capitalize()} nets, {split} error in %, mean over seeds"]
        assert head == ["iteration", *heads]
        assert [row[0] for row in rows] == ["100", "200", "300", "400", "500", "600"]
        for iteration, *cells in rows:
            for depth, cell in zip((18, 110), cells, strict=True):
                seeds = errors(study, f"{kind}-{depth}", key, int(iteration))
                if (kind, depth) == ("plain", 110) and int(iteration) > 300:
                    seeds.append(90.0)
                assert cell == f"{fmean(seeds):.2f}"


def test_the_final_values_are_the_summaries_with_students_interval(study: Path, page: Page) -> None:
    head, *rows = page.tables["Error of the last iterate"]
    assert head == ["depth", "nets", "error on", "mean in %", "95 % interval", "n"]
    assert [row[:3] for row in rows[:4]] == [
        [depth, kind, "training"] for kind in ("plain", "residual") for depth in ("18", "110")
    ]
    assert len(rows) == 8
    for depth, kind, split, mean, interval, n in rows:
        if split == "training":
            values = final(study, f"{kind}-{depth}")
            low, high = stats.t.interval(0.95, len(values) - 1, fmean(values), stats.sem(values))
            assert mean == f"{fmean(values):.2f}"
            assert interval == f"{low:.2f} to {high:.2f}"
            assert n == str(len(values))


def test_of_a_long_curve_twelve_values_are_tabled_the_last_among_them(tmp_path: Path) -> None:
    study = tmp_path / "depth_sweep" / "quick"
    for run in write_study(study, 1, {("plain", 18): 50.0}).glob("runs/*"):
        lines = [
            json.dumps({"iteration": at, "wall_s": 1.0, "test/error_pct": 90 - at / 100})
            for at in range(10, 1010, 10)
        ]
        (run / "metrics.jsonl").write_text("\n".join([*lines, ""]))
    write_judged(study, ROOT)
    page = Page(study / "report.html")
    head, *rows = page.tables["Plain nets, test error in %, one run an arm"]
    assert head == ["iteration", "18 layers, one run"]
    assert len(rows) == 12
    assert (rows[0], rows[-1]) == (["10", "89.90"], ["1,000", "80.00"])
    for at, error in rows:
        assert float(error) == pytest.approx(90 - int(at.replace(",", "")) / 100, abs=0.005)
    assert page.tables["Error of the last iterate"][1][4:] == ["", "1"]  # one run has no interval


def test_the_summary_is_welchs_interval_of_the_records(study: Path, page: Page) -> None:
    for kind in ("plain", "residual"):
        shallow, deep = final(study, f"{kind}-18"), final(study, f"{kind}-110")
        low, high = stats.ttest_ind(deep, shallow, equal_var=False).confidence_interval(0.95)
        assert f"{fmean(deep) - fmean(shallow):+.1f} points" in page.text
        assert f"95 % interval {low:+.1f} to {high:+.1f}" in page.text
    assert "Plain nets degrade." in page.text
    assert "Residual nets degrade less." in page.text
    assert "at its full length the paper has no such rise." in page.text
    assert page.text.count("at its full length") == 1  # of the residual nets


def test_without_a_rise_none_is_told(tmp_path: Path) -> None:
    level = {("plain", 18): 50.0, ("plain", 110): 50.0, **{("residual", 18): 50.0}}
    write_judged(write_study(tmp_path / "depth_sweep" / "quick", 4, level), ROOT)
    text = Page(tmp_path / "depth_sweep" / "quick" / "report.html").text
    assert "Plain nets: no rise is shown." in text
    assert "degrade." not in text
    assert "is gone" not in text


def test_badges_are_the_verdicts(study: Path, page: Page) -> None:
    claims = read_json(study / "verdict.json")["claims"]
    items = [each for each in page.all("li") if each.attributes.get("id", "").startswith("claim-")]
    assert len(items) == len(claims)
    for claim, item in zip(claims, items, strict=True):
        text = " ".join(item.text.split())
        assert claim["answer"] in text
        assert claim["sentence"] in text
        assert claim["id"] in text
        if claim["interval"]:
            assert f"found {claim['estimate']:.2f} points" in text
            low, high = claim["interval"]
            assert f"95 % interval {low:.2f} to {high:.2f}" in text
    supported = sum(claim["answer"] == "SUPPORTED" for claim in claims)
    assert f"{supported} of {len(claims)} SUPPORTED" in page.text


def test_plotly_takes_what_is_drawn(page: Page) -> None:
    """Its own validators refuse a property that it does not know."""
    from plotly import graph_objects

    drawn = [*page.data["final"], *(t for traces in page.data["panels"].values() for t in traces)]
    assert len(graph_objects.Figure(data=drawn).data) == len(drawn)


def no_request_and_no_code(page: Page) -> None:
    """Nothing is fetched, and the only scripts are ours."""
    assert len(page.all("script")) in (0, 3)
    assert not page.all("link") + page.all("iframe") + page.all("object")
    for element in page.elements:
        sources = [element.attributes.get(name, "data:") for name in ("src", "srcset")]
        assert all(source.startswith("data:") for source in sources)
        assert not any(name.startswith("on") for name in element.attributes)
        link = element.attributes.get("href", "#")
        assert not link.lower().startswith(("javascript:", "data:"))
    styles = "".join(each.text for each in page.all("style"))
    assert "@import" not in styles
    assert "url(" not in styles


def test_the_page_is_one_file(page: Page) -> None:
    no_request_and_no_code(page)
    (policy,) = (e for e in page.all("meta") if "http-equiv" in e.attributes)
    assert "default-src 'none'" in policy.attributes["content"]


def test_what_users_wrote_is_text(tmp_path: Path) -> None:
    experiments = tmp_path / "experiments" / "depth_sweep"
    shutil.copytree(ROOT / "experiments" / "depth_sweep", experiments)
    claims = (experiments / "claims.yaml").read_text()
    sentence = "At 34 layers the residual net has the lower test error."
    assert sentence in claims
    (experiments / "claims.yaml").write_text(claims.replace(sentence, json.dumps(HOSTILE)))
    readme = f"**Question.** {HOSTILE} ![a](http://a.test/b.png) [c](javascript:alert(3)) *why*?\n"
    (experiments / "README.md").write_text(readme + "\n**Source.** x\n\n**Command.** y\n")
    study = tmp_path / "depth_sweep" / "quick"
    arm = 'plain-18-<img src=x onerror="alert(4)">'
    changes = {"data": {"name": 'cifar10"><script>alert(5)</script>'}}
    write_study(study, 2, ARMS)
    write_run(study, "plain", 18, 0, 50.0, **changes)
    (study / "runs" / "plain-18-s0").rename(study / "runs" / f"{arm}-s0")
    write_run(study, "plain", 18, 0, 50.0)
    write_judged(study, tmp_path)
    page = Page(study / "report.html")
    no_request_and_no_code(page)
    assert "alert(1)</script>" in page.text  # as text
    assert "why" in [each.text for each in page.all("em")]
    assert arm.removeprefix("plain-18-") in [each.text for each in page.all("option")]


def test_one_seed_has_no_spread_and_says_so(tmp_path: Path) -> None:
    write_judged(write_study(tmp_path / "depth_sweep" / "quick", 1, ARMS), ROOT)
    page = Page(tmp_path / "depth_sweep" / "quick" / "report.html")
    assert not any(t["meta"].get("band") for ts in page.data["panels"].values() for t in ts)
    assert "One run an arm, so there is no mean and no spread to show" in page.text
    assert "Mean over seeds" not in page.text
    assert (
        "Where an arm has fewer than two runs there is no spread, and no answer rests on it."
        in page.text
    )
    assert "Plain nets: these runs cannot tell." in page.text
    assert "no interval, as an arm has one seed" in page.text
    assert "degrade." not in page.text
    assert "18 layers one run" in page.text


def without_ended_runs(study: Path) -> None:
    for path in study.glob("runs/*/summary.json"):
        path.unlink()


def with_another(section: str, **values: Any) -> Callable[[Path], None]:
    def change(study: Path) -> None:
        write_run(study, "plain", 18, 7, 50.0, **{section: values} if section else values)

    return change


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without_ended_runs, "none of its 8 runs has finished"),
        (with_another("data", name="mnist"), "runs of different data.name are never pooled"),
        (with_another("", preset="paper"), "runs of different preset are never pooled"),
        (with_another("trainer", precision="bf16"), "different trainer.precision are never pooled"),
        (with_another("model", kind="plain", depth=18, width=16), "model.width"),
    ],
    ids=["no-ended-runs", "data-sets", "presets", "precisions", "configs"],
)
def test_what_cannot_be_reported_is_told_in_the_pages_place(
    tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    study = write_study(tmp_path / "depth_sweep" / "quick", 2, ARMS)
    (study / "report.html").write_text("of better days")
    spoil(study)
    with pytest.raises(StudyError, match=re.escape(told)):
        write_page(study, ROOT)
    page = Page(study / "report.html")
    assert told in page.text
    no_request_and_no_code(page)
    assert "SUPPORTED" not in page.text


def test_a_folder_without_runs_gets_no_page(tmp_path: Path) -> None:
    with pytest.raises((StudyError, ClaimsError)):
        write_page(tmp_path, ROOT)
    assert list(tmp_path.iterdir()) == []


def test_the_index_names_data_set_and_preset_of_each_study(study: Path, tmp_path: Path) -> None:
    """The depth sweep before the others."""
    for experiment, preset, data in (
        ("depth_sweep", "quick", "cifar10"),
        ("depth_sweep", "paper", "shapes"),
        ("blocks", "quick", "cifar10"),
    ):
        folder = tmp_path / experiment / preset
        folder.mkdir(parents=True)
        verdict = read_json(study / "verdict.json")
        verdict |= {"experiment": experiment, "preset": preset, "data": data}
        (folder / "verdict.json").write_text(json.dumps(verdict))
    (tmp_path / "depth_sweep" / "quick" / "report.html").touch()
    (tmp_path / "lesion" / "quick" / "runs").mkdir(parents=True)
    write_index(tmp_path, ROOT)
    page = Page(tmp_path / "index.html")
    no_request_and_no_code(page)
    lines = [" ".join(each.text.split()) for each in page.all("li") if "preset" in each.text]
    assert len(lines) == 3
    counted = "n = 3 to 4 seeds, 1 of 13 runs diverged"  # as the studies' pages have it
    assert counted in Page(study / "report.html").text
    assert f"preset paper data set shapes {counted}" in lines[0]
    assert f"preset quick data set cifar10 {counted}" in lines[1]
    claims = read_json(study / "verdict.json")["claims"]
    supported = sum(claim["answer"] == "SUPPORTED" for claim in claims)
    assert (
        f"All {3 * len(claims)} claims of all 3 studies together: \u2713 {3 * supported} SUPPORTED"
        in page.text
    )
    links = [each.attributes["href"] for each in page.all("a")[1:]]
    sweep = ["depth_sweep/paper/REPORT.md", "depth_sweep/quick/report.html"]
    assert links == [*sweep, "blocks/quick/REPORT.md"]
    assert "lesion/quick" in page.text


def cards(path: Path) -> dict[str, str]:
    """What a reader sees of each study in an index, by its title."""
    page = Page(path)
    no_request_and_no_code(page)
    found = [" ".join(each.text.split()) for each in page.all("li") if "data set" in each.text]
    titles = [each.text for each in page.all("h2") if each.text != "Runs without a report"]
    assert all(text.startswith(title) for title, text in zip(titles, found, strict=True))
    return dict(zip(titles, found, strict=True))


def test_a_report_lists_the_studies_beside_it_with_what_they_found(tmp_path: Path) -> None:
    """Of depth the words of its page and Welch's interval; of other measurements the first claim;
    runs without a report are named.
    """
    sweep = write_study(tmp_path / "depth_sweep" / "quick", 3, ARMS)
    write_run(tmp_path / "very_deep" / "quick", "plain", 1202, 0, 80.0)
    write_report(sweep, ROOT)
    lesion = tmp_path / "lesion" / "quick"
    lesion.mkdir(parents=True)
    shutil.copy(LESION, lesion)
    write_index(tmp_path, ROOT)
    found = cards(tmp_path / "index.html")
    for kind in ("plain", "residual"):
        shallow, deep = final(sweep, f"{kind}-18"), final(sweep, f"{kind}-110")
        low, high = stats.ttest_ind(deep, shallow, equal_var=False).confidence_interval(0.95)
        assert f"{fmean(deep) - fmean(shallow):+.1f} points" in found["Depth sweep"]
        assert f"95 % interval {low:+.1f} to {high:+.1f}" in found["Depth sweep"]
    assert "Plain nets degrade." in found["Depth sweep"]
    first = read_json(lesion / "verdict.json")["claims"][0]
    said = f"{first['answer']} {first['sentence']} found {first['estimate']:.2f}"
    low, high = first["interval"]
    assert f"{said} points, 95 % interval {low:.2f} to {high:.2f}, " in found["Lesion"]
    assert (
        "Runs without a report very_deep/quick: not reported yet"
        in Page(tmp_path / "index.html").text
    )


def test_an_index_that_another_sweep_overtakes_is_written_again(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reports after this one has looked and before this one writes."""
    write, looks = index.write_index_page, list[int]()

    def overtaken(root: Path, *found: Any) -> Path:
        if not looks:
            (tmp_path / "lesion" / "quick").mkdir(parents=True)
            shutil.copy(LESION, tmp_path / "lesion" / "quick")
        looks.append(len(found[0]))
        return write(root, *found)

    shutil.copytree(study, tmp_path / "depth_sweep" / "quick")
    monkeypatch.setattr(index, "write_index_page", overtaken)
    assert len(cards(write_index(tmp_path, ROOT))) == 2
    assert looks == [1, 2]


def test_an_index_that_is_overtaken_each_time_is_written_in_the_end(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else damage that looks different each time would keep it busy for ever."""
    looks = iter(range(1000))
    monkeypatch.setattr(
        overview, "_look", lambda *_: ([], [index.Unreported(f"{next(looks)}", "", "")])
    )
    assert write_index(tmp_path, ROOT).exists()
    assert next(looks) < 20


def test_a_report_that_is_refused_leaves_the_index_without_its_answers(tmp_path: Path) -> None:
    sweep = write_study(tmp_path / "depth_sweep" / "quick", 2, ARMS)
    write_report(sweep, ROOT)
    assert "Plain nets degrade." in cards(tmp_path / "index.html")["Depth sweep"]
    write_run(sweep, "plain", 34, 0, 60.0, preset="paper")
    with pytest.raises(StudyError, match="preset"):
        write_report(sweep, ROOT)
    assert cards(tmp_path / "index.html") == {}


@pytest.mark.parametrize("content", ["", "null", "- 1", "model: {"])
def test_an_empty_or_damaged_config_is_one_line_and_the_other_studies_have_their_pages(
    study: Path, tmp_path: Path, content: str
) -> None:
    for experiment in ("blocks", "depth_sweep"):
        shutil.copytree(study, tmp_path / experiment / "quick")
    config = tmp_path / "blocks" / "quick" / "runs" / "plain-18-s0" / "config.yaml"
    config.write_text(content)
    _, (error,) = write_pages(tmp_path, ROOT)
    assert str(error).startswith(f"{config}: not a YAML mapping")
    assert "\n" not in str(error)
    assert f"{config}: not a YAML mapping" in Page(tmp_path / "blocks/quick/report.html").text
    assert Page(tmp_path / "depth_sweep" / "quick" / "report.html").data["panels"]
    assert list(cards(tmp_path / "index.html")) == ["Depth sweep"]


@pytest.mark.parametrize(
    ("study", "claim", "found", "threshold"),
    [
        ("depth_sweep", 0, "18.59 points", "threshold above 5.00"),
        ("depth_sweep", 7, "0", "expected 0"),
        ("blocks", 12, "88.06 %", "threshold below 85.00"),
        ("lesion", 0, "7.22 points", "threshold below 5.00"),
        ("lesion", 3, "87.29 %", "threshold above 85.00"),
        ("lesion", 9, "0.30", "threshold below 0.20"),
        ("gradient_flow", 2, "3.35 powers of ten", "threshold within \u00b1 1.00"),
        ("identity_mapping", 1, "864.00 iterations", "threshold below 1,500"),
        ("imagenet_family", 7, "18.56", "expected 18"),
    ],
)
def test_numbers_have_the_unit_of_what_was_measured(
    study: str, claim: int, found: str, threshold: str
) -> None:
    folder = ROOT / "results" / study / "quick"
    verdict = verdict_file.verdicts(folder, verdict_file.read(folder))[claim]
    assert (badge(verdict).estimate, badge(verdict).threshold) == (found, threshold)


def test_a_page_that_is_refused_leaves_the_answers_and_the_others_their_pages(
    study: Path, tmp_path: Path
) -> None:
    mixed, whole = (tmp_path / "depth_sweep" / preset for preset in ("a", "quick"))
    for folder in (mixed, whole):
        shutil.copytree(study, folder)
        (folder / "report.html").unlink()
    write_run(mixed, "plain", 34, 0, 60.0, preset="paper")
    verdict = read_json(mixed / "verdict.json") | {"preset": "a"}
    (mixed / "verdict.json").write_text(json.dumps(verdict))
    before = (mixed / "verdict.json").read_bytes()
    written, (error,) = write_pages(tmp_path, ROOT)
    assert "preset" in str(error)
    assert written == [whole / "report.html", tmp_path / "index.html"]
    assert (mixed / "verdict.json").read_bytes() == before  # `make report` judges, not `make pages`
    assert "never pooled" in Page(mixed / "report.html").text
    assert Page(whole / "report.html").data["panels"]
    overall = Page(tmp_path / "index.html")
    links = [each.attributes["href"] for each in overall.all("a")[1:]]
    assert links == ["depth_sweep/quick/report.html", "depth_sweep/a/report.html"]
    assert "depth_sweep/a: could not be reported, the page says why" in overall.text


def test_a_study_of_counts_has_a_page_without_charts(tmp_path: Path) -> None:
    folder = tmp_path / "imagenet_family" / "quick"
    shutil.copytree(ROOT / "results" / "imagenet_family" / "quick", folder)
    page = Page(write_counted(folder, ROOT))
    no_request_and_no_code(page)
    assert not page.all("script")
    assert "found 3,663,761,408" in page.text
    assert "143,667,240" in [each.text for each in page.all("td")]
    verdict = read_json(folder / "verdict.json")
    for key, value in (("power", []), ("answer", "PERHAPS"), ("sentences", "more")):
        claims = [verdict["claims"][0] | {key: value}]
        (folder / "verdict.json").write_text(json.dumps(verdict | {"claims": claims}))
        with pytest.raises(StudyError, match=r"verdict.json: claims that no judge wrote"):
            write_counted(folder, ROOT)
    (folder / "verdict.json").write_text(json.dumps(verdict | {"claims": []}))
    with pytest.raises(StudyError, match=r"verdict.json: neither runs nor claims"):
        write_counted(folder, ROOT)


def test_a_slip_in_the_claims_costs_no_answers_and_mending_it_brings_the_page_back(
    study: Path, tmp_path: Path
) -> None:
    claims = tmp_path / "experiments" / "depth_sweep" / "claims.yaml"
    shutil.copytree(ROOT / "experiments" / "depth_sweep", claims.parent)
    folder = tmp_path / "results" / "depth_sweep" / "quick"
    shutil.copytree(study, folder)
    (folder / "REPORT.md").write_text("# Committed\n")
    kept = {name: (folder / name).read_bytes() for name in ("verdict.json", "REPORT.md")}
    right = claims.read_text()
    claims.write_text(right.replace("level:", "levle:"))
    written, (error,) = write_pages(tmp_path / "results", tmp_path)
    assert "levle" in str(error)
    assert written == [tmp_path / "results" / "index.html"]
    assert {name: (folder / name).read_bytes() for name in kept} == kept
    assert "levle" in Page(folder / "report.html").text
    assert cards(tmp_path / "results" / "index.html") == {}
    claims.write_text(right)
    assert write_pages(tmp_path / "results", tmp_path)[1] == []
    assert Page(folder / "report.html").data["panels"]
    assert list(cards(tmp_path / "results" / "index.html")) == ["Depth sweep"]


def another_threshold(folder: Path, experiments: Path) -> None:
    claims = experiments / "depth_sweep" / "claims.yaml"
    text = claims.read_text()
    assert "quick: 5," in text
    claims.write_text(text.replace("quick: 5,", "quick: 99,", 1))


def another_seed(folder: Path, experiments: Path) -> None:
    write_run(folder, "plain", 18, 3, 57.0)


def another_result(folder: Path, experiments: Path) -> None:
    write_run(folder, "plain", 18, 0, 40.0)


def no_verdict(folder: Path, experiments: Path) -> None:
    (folder / "verdict.json").unlink()


@pytest.mark.parametrize("change", [another_threshold, another_seed, another_result, no_verdict])
def test_a_page_is_refused_where_the_verdict_is_not_that_of_runs_and_claims(
    study: Path, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    shutil.copytree(ROOT / "experiments" / "depth_sweep", tmp_path / "experiments" / "depth_sweep")
    folder = tmp_path / "results" / "depth_sweep" / "quick"
    shutil.copytree(study, folder)
    change(folder, tmp_path / "experiments")
    _, (error,) = write_pages(tmp_path / "results", tmp_path)
    assert "`make report EXPERIMENT=depth_sweep PRESET=quick`" in str(error)
    assert "make report EXPERIMENT=depth_sweep" in Page(folder / "report.html").text
    assert cards(tmp_path / "results" / "index.html") == {}
    page = Page(tmp_path / "results" / "index.html")
    assert "depth_sweep/quick: could not be reported, the page says why" in page.text


def test_a_verdict_in_another_studys_folder_is_not_believed(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lesion" / "quick"
    folder.mkdir(parents=True)
    shutil.copy(study / "verdict.json", folder)
    write_index(tmp_path, ROOT)
    assert cards(tmp_path / "index.html") == {}
    told = "verdict.json: the verdict of depth_sweep/quick, not of lesion/quick"
    assert told in Page(tmp_path / "index.html").text


def test_at_full_length_no_rise_is_excused(tmp_path: Path) -> None:
    study = write_study(tmp_path / "depth_sweep" / "paper", 3, ARMS, preset="paper")
    write_judged(study, ROOT)
    text = Page(study / "report.html").text
    assert "Residual nets degrade less." in text
    assert "at its full length" not in text


@pytest.mark.parametrize("experiment", ["lesion", "imagenet_family"])
def test_a_study_of_other_measurements_opens_with_its_first_claim_and_number(
    tmp_path: Path, experiment: str
) -> None:
    folder = tmp_path / experiment / "quick"
    shutil.copytree(ROOT / "results" / experiment / "quick", folder)
    (write_judged if (folder / "runs").is_dir() else write_counted)(folder, ROOT)
    claims = read_json(folder / "verdict.json")["claims"]
    divs = Page(folder / "report.html").all("div")
    opening, first = (" ".join(each.text.split()) for each in divs[:2])
    shown = f"{claims[0]['estimate']:.2f} points" if claims[0]["interval"] else "18"
    sentence = claims[0]["sentence"].removesuffix(".")
    told = f"The first of {len(claims)} claims: {sentence}. {claims[0]['answer']}"
    assert first.startswith(f"What was found{shown}{told}")
    supported = sum(claim["answer"] == "SUPPORTED" for claim in claims)
    assert f"How sure is that?{supported} of {len(claims)} SUPPORTED" in opening
    assert "without a threshold" not in Page(folder / "report.html").text
