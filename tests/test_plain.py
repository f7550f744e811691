"""Plain values: what is one comes back, what is none is refused, whatever the bytes."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.torture.mutations import LAUGHS, MERGES

from degradation import plain
from degradation.plain import PlainError

WORDS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=9)
NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
SHARED_FOLDER = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SHARED_FOLDER
@given(TREES)
def test_what_is_written_is_what_is_read(tmp_path: Path, tree: object) -> None:
    path = tmp_path / "tree.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    assert plain.yaml_of(path) == tree
    assert plain.json_of(json.dumps(tree).encode()) == tree


@SHARED_FOLDER
@given(st.binary(max_size=60) | st.text("[]{}:-&*!<>?|'\",#\n ab1.e", max_size=60).map(str.encode))
def test_any_other_bytes_are_a_value_or_one_line(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "junk.yaml"
    path.write_bytes(junk)
    told: list[str] = []
    for form in ("yaml", "json"):
        try:
            value = plain.yaml_of(path) if form == "yaml" else plain.json_of(junk)
            json.dumps(value, allow_nan=False)
        except PlainError as error:
            told.append(str(error))
    assert all(len(line.splitlines()) == 1 for line in told)


DEEP = "[" * 22 + "]" * 22
BOTH = [DEEP, "9" * 30, "9" * 5000, '"\\u0000"', '"\\u001b[2J"', '{"a": 1, "a": 2}', "[" * 9000]


@pytest.mark.parametrize("text", BOTH, ids=lambda text: text[:20])
def test_neither_form_takes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(PlainError):
        plain.yaml_of(path)
    with pytest.raises(PlainError):
        plain.json_of(text.encode())


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e999", '"\\ud800"', "", "\ufeff1", "{'a': 1}"]
)
def test_json_does_not_take(text: str) -> None:
    with pytest.raises(PlainError):
        plain.json_of(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [sprung]", "!!python/name:os.system", "!!set {a}",
        "2001-02-31", "!!binary aGk=", "!!bool x", "!!int ''", "!!timestamp x", ".nan",
        "a: &a [*a]", "&a {b: *a}", MERGES, LAUGHS, "? [1]\n: 2", "<<: {a: 1}",
        "1" + ":5" * 90000, "a\n" * 200_000,
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_yaml_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(PlainError):
        plain.yaml_of(path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_aliases_that_do_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("quick: &pilot {plain-18: [64, 1.5]}\npaper: *pilot\n")
    assert plain.yaml_of(path) == {preset: {"plain-18": [64, 1.5]} for preset in ("quick", "paper")}


@pytest.mark.parametrize(
    "value", [True, None, "1", [1], float("nan"), float("inf"), 2**63, 10**400]
)
def test_what_is_no_number(value: object) -> None:
    assert not plain.is_number(value)
