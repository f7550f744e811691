"""Imports point one way; what reads records needs neither torch nor wandb."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
LAYERS = (
    {"identity", "inner_terminal", "lines", "locks", "measured", "plain", "stopping"},
    {"config"},
    {"distributed"},
    {"environment"},
    {"nets", "data", "optim", "records", "account"},
    {"checkpoint", "probes", "uploads", "wandb_file"},
    {"wandb_start", "wandb_folders"},
    {"tracking"},
    {"mirroring"},
    {"step"},
    {"loop"},
    {"growth"},
    {"cli", "named_code", "analysis"},
    {"studies"},
    {"fleet", "listing"},
    {"train"},
    {"estimate", "logged"},
    {"reproduce"},
)
"""Each may import what stands before it; what is not listed is a command, which nobody imports."""
ONLY = {
    "analysis": {"records", "identity", "locks", "measured", "plain"},
    "probes": {"nets", "data", "records", "config"},
    "records": {"plain"},
    "identity": set(),
    "inner_terminal": set(),
    "lines": set(),
    "locks": set(),
    "measured": set(),
    "plain": set(),
    "stopping": set(),
    "config": {"identity", "plain"},
    "distributed": {"config", "stopping"},
    "cli": {"config", "identity", "lines", "plain", "stopping"},
}
"""Parts that may import even less."""
MODULES = sorted((SOURCE / "degradation").rglob("*.py"))


def layer(part: str) -> int:
    ranks = [rank for rank, parts in enumerate(LAYERS) if part in parts]
    return ranks[0] if ranks else len(LAYERS)


def imported(path: Path) -> Iterator[str]:
    """Every dotted name a module imports, at its top or within a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE / "degradation").parts[0].removesuffix(".py")


def parts_imported(path: Path) -> set[str]:
    names = [name.split(".") for name in imported(path)]
    return {name[1] for name in names if name[0] == "degradation"} - {part_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    parts = parts_imported(path)
    if part in ONLY:
        assert parts <= ONLY[part]
    if part != "analysis" and layer(part) < len(LAYERS):
        assert {other for other in parts if layer(other) >= layer(part)} == set()


def test_commands_are_imported_by_no_module_of_the_house() -> None:
    commands = {part_of(path) for path in MODULES} - set().union(*LAYERS) - {"__init__", "__main__"}
    assert {"evidence", "doctor", "benchmark"} <= commands  # or the walk above looks at nothing
    for path in MODULES:
        assert not parts_imported(path) & commands, path


def test_what_trains_knows_nothing_of_the_analysis() -> None:
    listed = [path for path in MODULES if layer(part_of(path)) < len(LAYERS)]
    looking = {part_of(path) for path in listed if "analysis" in parts_imported(path)}
    assert looking == {"listing", "reproduce"}  # for the live view, and the report


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_imports_scripts_or_tests(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"scripts", "tests"}


@pytest.mark.parametrize("part", ["analysis", "records", "config"])
def test_what_reads_records_needs_no_torch(part: str) -> None:
    found = {
        name.split(".")[0] for path in MODULES if part_of(path) == part for name in imported(path)
    }
    assert found
    assert not found & {"torch", "torchvision", "wandb", "hydra"}


def test_torchvision_and_wandb_are_imported_where_they_are_used() -> None:
    """They take seconds to load, so never at the top of a module."""
    for path in MODULES:
        top = ast.parse(path.read_text()).body
        names = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
        assert not {name.split(".")[0] for name in names} & {"torchvision", "wandb"}, path


def test_objects_are_not_built_from_names_in_the_config() -> None:
    conf = SOURCE.parent / "conf"
    with_target = {
        path.relative_to(conf).parts[0]
        for path in conf.rglob("*.yaml")
        if re.search(r"^\s*_target_:", path.read_text(), re.MULTILINE)
    }
    assert with_target == {"hydra"}
