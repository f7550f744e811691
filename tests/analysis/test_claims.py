"""The claims file: the committed ones load, mistakes are answered in one line."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from degradation.analysis.claims import EXACT, ClaimsError, claims_path, load

ROOT = Path(__file__).parents[2]
COMMITTED = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/claims.yaml"))
VALID: dict[str, Any] = {
    "experiment": "depth_sweep",
    "data": "cifar10",
    "level": 0.025,
    "expected": {"quick": {"test/error_pct": {"plain-56": [82, 3]}}},
    "claims": [
        {
            "id": "rises",
            "sentence": "It rises.",
            "source": "Fig. 1",
            "paper": "",
            "presets": ["quick"],
            "type": "superiority",
            "estimand": "test/error_pct(plain,56) - test/error_pct(plain,18)",
            "margin": {"quick": 5},
            "power": {"quick": {3: 0.9}},
            "permutation": True,
        },
        {
            "id": "same",
            "sentence": "Same.",
            "source": "Sec. 3.3",
            "paper": "",
            "presets": ["quick"],
            "type": "exact",
            "estimand": ["parameters(plain,18) - parameters(residual,18)"],
            "value": 0,
        },
    ],
}


def write(folder: Path, content: object) -> Path:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("experiment", COMMITTED)
def test_committed_files_load_and_speak_of_their_own_folder(experiment: str) -> None:
    claims = load(claims_path(experiment, ROOT))
    assert claims.experiment == experiment
    for claim in claims.claims:
        for preset in claim.presets:
            assert claim.type == EXACT or len(claim.power[preset]) >= 2


def test_what_the_depth_sweep_must_claim() -> None:
    claims = load(claims_path("depth_sweep", ROOT))
    both = {claim.id for claim in claims.claims if set(claim.presets) == {"quick", "paper"}}
    assert {"plain-degrades-18-56", "plain-degrades-18-110", "equal-parameters"} <= both
    paper_only = {claim.id for claim in claims.claims if claim.presets == ("paper",)}
    assert {name.split("-")[1] for name in paper_only} == {"does", "residual", "learns"}


def test_a_valid_file(tmp_path: Path) -> None:
    claims = load(write(tmp_path, VALID))
    assert [claim.margin for claim in claims.claims] == [{"quick": 5.0}, {"quick": 0.0}]
    with pytest.raises(ClaimsError, match="preset 'paper'; made for quick"):
        claims.for_preset("paper")


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (("levle",), 1, ("levle", "level")),
        (("level",), 0.9, ("level", "0.9")),
        (("level",), 0.5, ("level", "0.5")),
        (("data",), "cifar100", ("data", "cifar100", "cifar10")),
        (("claims",), [], ("claims", "a list")),
        (("expected",), {"quick": {"speed": {}}}, ("speed", "test/error_pct")),
        (("claims", 0, "marign"), 5, ("rises", "marign", "margin")),
        (("claims", 0, "type"), "superior", ("rises", "type", "superior", "non-inferiority")),
        (("claims", 0, "presets"), ["fast"], ("rises", "presets", "fast", "quick")),
        (("claims", 0, "margin"), 5, ("rises", "margin", "mapping")),
        (("claims", 0, "margin"), {"paper": 5}, ("rises", "margin", "paper", "quick")),
        (("claims", 0, "margin"), {"quick": "5"}, ("rises", "margin", "'5'", "number")),
        (("claims", 0, "power"), {"quick": {3: 1.5}}, ("rises", "power", "1.5")),
        (("claims", 0, "power"), {"quick": {1: 0.9}}, ("rises", "power", "2 or more")),
        (("claims", 0, "estimand"), "test/eror_pct(plain,56)", ("rises", "estimand", "test/eror")),
        (("claims", 0, "estimand"), "parameters(plain,56)", ("rises", "superiority")),
        (("claims", 0, "sentence"), "", ("rises", "sentence")),
        (("claims", 0, "estimand"), "test/error_pct(plain,56)", ("rises", "permutation")),
        (("claims", 0, "type"), "equivalence", ("rises", "permutation", "equivalence")),
        (("claims", 1, "margin"), {"quick": 0}, ("same", "margin", "value")),
        (("claims", 1, "estimand"), ["test/error_pct(plain,56)"], ("same", "parameters")),
        (("claims", 1, "id"), "rises", ("rises", "twice")),
    ],
)
def test_a_mistake_is_named_in_one_line(
    tmp_path: Path, keys: tuple[Any, ...], value: object, words: tuple[str, ...]
) -> None:
    content = copy.deepcopy(VALID)
    place: Any = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(ClaimsError) as error:
        load(write(tmp_path, content))
    assert "claims.yaml" in str(error.value)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ClaimsError, match="no such claims file"):
        load(tmp_path / "claims.yaml")
    (tmp_path / "claims.yaml").write_text("a: [b\nc: d")
    with pytest.raises(ClaimsError, match="not YAML"):
        load(tmp_path / "claims.yaml")
    del (content := copy.deepcopy(VALID))["level"]
    with pytest.raises(ClaimsError, match="'level' is missing"):
        load(write(tmp_path, content))
