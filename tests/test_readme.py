"""The README says what is so."""

import re
import subprocess
from pathlib import Path

from scripts import reference

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_tables_are_the_schema_the_presets_and_the_benchmarks() -> None:
    assert reference.with_tables(README) == README, "run `make reference`"


def test_every_field_says_what_it_means() -> None:
    assert [key for key, text in reference.meanings().items() if not text] == []


def test_links_and_images_exist() -> None:
    targets = re.findall(r"(?:\]\(|src=\"|srcset=\")([^)#\"]+)", README)
    local = [target for target in targets if "://" not in target]
    assert len(local) > 5
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_targets_that_the_readme_names_are_in_the_makefile() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named >= {"reproduce", "test", "report"}
    assert [name for name in named if f"  {name} " not in listed] == []
