"""Imports point one way; what reads records needs neither torch nor wandb."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
LAYERS = (
    {"identity", "lines", "locks", "measured", "plain", "stopping", "tracking.inner_terminal"},
    {"config"},
    {"distributed"},
    {"environment"},
    {"nets", "data", "optim", "records", "tracking.account"},
    {"checkpoint", "probes", "tracking.uploads", "tracking.run_file"},
    {"tracking.starting", "tracking.run_folders"},
    {"tracking.mirror"},
    {"tracking.copies"},
    {"step"},
    {"loop"},
    {"begin", "summary"},
    {"growth"},
    {"cli", "named_code", "analysis", "watch"},
    {"studies.lookup"},
    {"fleet", "studies.listing", "train"},
    {"command"},
    {"studies.estimate", "tracking.logged"},
    {"studies.reproduce"},
)
"""Each may import what stands before it; what is not listed is a command, which nobody imports."""
ONLY = {
    "analysis": {"records", "identity", "measured", "plain"},
    "watch": {"records", "locks", "measured", "plain"},
    "probes": {"nets", "data", "records", "config"},
    "records": {"plain"},
    "identity": set(),
    "tracking.inner_terminal": set(),
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
BY_MODULE = ("studies", "tracking")
"""Packages of which some is part of a run and some a command; each other package is one part."""
MODULES = sorted((SOURCE / "degradation").rglob("*.py"))


def layer(of: str) -> int:
    ranks = [rank for rank, parts in enumerate(LAYERS) if of in parts]
    return ranks[0] if ranks else len(LAYERS)


def imported(path: Path) -> Iterator[str]:
    """Every dotted name a module imports, at its top or within a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(names: Sequence[str]) -> str:
    """Of a module within the package, by its names."""
    return ".".join(names[: 1 + (names[0] in BY_MODULE)])


def part_of(path: Path) -> str:
    return part(path.relative_to(SOURCE / "degradation").with_suffix("").parts)


def parts_imported(path: Path) -> set[str]:
    names = [name.split(".") for name in imported(path)]
    return {part(name[1:]) for name in names if name[0] == "degradation"} - {part_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = part_of(path)
    if own.endswith(("__init__", "__main__")):
        return
    parts = parts_imported(path)
    if own in ONLY:
        assert parts <= ONLY[own]
    if own != "analysis" and layer(own) < len(LAYERS):
        assert {other for other in parts if layer(other) >= layer(own)} == set()


def test_commands_are_imported_by_no_module_of_the_house() -> None:
    listed = set().union(*LAYERS)
    commands = {name for path in MODULES if (name := part_of(path)) not in listed}
    commands = {name for name in commands if not name.endswith(("__init__", "__main__"))}
    assert {"studies.evidence", "doctor", "benchmark"} <= commands  # or the walk looks at nothing
    for path in MODULES:
        assert not parts_imported(path) & commands, path


def test_what_trains_knows_nothing_of_the_analysis() -> None:
    listed = [path for path in MODULES if layer(part_of(path)) < len(LAYERS)]
    looking = {part_of(path) for path in listed if "analysis" in parts_imported(path)}
    assert looking == {"studies.reproduce"}  # for the report


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_imports_scripts_or_tests(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"scripts", "tests"}


@pytest.mark.parametrize("of", ["analysis", "records", "config", "watch"])
def test_what_reads_records_needs_no_torch(of: str) -> None:
    found = {
        name.split(".")[0] for path in MODULES if part_of(path) == of for name in imported(path)
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
