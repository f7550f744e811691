"""The README and the pages beside it say what is so."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from degradation import cli, records
from degradation.analysis import claims
from scripts import reference

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
EXTENDING = ROOT / "docs/extending.md"
PAGES = [*reference.PAGES, *sorted((ROOT / "experiments").rglob("README.md"))]
TABLES = {
    README: ["targets"],
    ROOT / "docs/configuration.md": ["configuration"],
    ROOT / "docs/speed.md": ["speed"],
}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def links(page: Path) -> list[str]:
    """Without those to other sites."""
    text = re.sub(r"```.*?```|`[^`\n]+`(?!\])", "", page.read_text(), flags=re.DOTALL)
    found = re.findall(r"(?:\]\(|src=\"|srcset=\")([^)\"]+)", text)
    return [target for target in found if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.name)
def test_tables_are_the_schema_the_presets_and_the_benchmarks(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"<!-- (\w+) -->", text) == TABLES[page]
    assert reference.with_tables(text) == text, "run `make reference`"


def test_every_field_says_what_it_means() -> None:
    assert [key for key, text in reference.meanings().items() if not text] == []


@every_page
def test_links_images_and_anchors_exist(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_and_experiment_can_be_reached_from_the_readme() -> None:
    reached, left = set[Path](), [README]
    while left:
        page = left.pop()
        reached.add(page)
        linked = {(page.parent / target.partition("#")[0]).resolve() for target in links(page)}
        left += [path for path in linked - reached if path in PAGES]
    assert set(PAGES) - reached == set()


def test_the_experiment_to_copy_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runs are composed, and its claims name their arms."""
    setting, claimed = re.findall(r"```yaml\n(.*?)```", EXTENDING.read_text(), re.DOTALL)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf/experiment/width.yaml").write_text(setting)
    monkeypatch.setattr(cli, "conf_dir", lambda: tmp_path / "conf")
    arms = {records.arm_of(name) for name in cli.sweep("width", "quick")}
    assert arms == {"plain-14", "plain-14-width4"}
    path = tmp_path / "claims.yaml"
    path.write_text(claimed)
    (claim,) = claims.load(path).for_preset("quick")
    assert {arm for estimand in claim.estimands for arm in estimand.arms} == arms
    assert claims.load(path).expected["quick"]["eval/train_error_pct"].keys() == arms


@every_page
def test_targets_that_a_page_names_are_in_the_makefile(page: Path) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named >= ({"reproduce", "test", "report"} if page == README else set())
    assert [name for name in named if f"  {name} " not in listed] == []
