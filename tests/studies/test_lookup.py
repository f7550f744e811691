"""What a study is asked for by."""

from pathlib import Path

import pytest

from degradation.config import ConfigError
from degradation.studies import lookup


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("", []),
        ("  ", []),
        ("7", ["seed=7"]),
        ("0,1,2", ["seed=0,1,2"]),
        (" 0, 1  2 ", ["seed=0,1,2"]),
        ("3,3,03", ["seed=3"]),
    ],
)
def test_seeds(text: str, axis: list[str]) -> None:
    assert lookup.seed_axis(text) == axis


@pytest.mark.parametrize("text", ["range(0,3)", "1.5", "0;1", "²", "0 model.depth=8", ","])
def test_seeds_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^seeds: .*; accepted: whole numbers from 0"):
        lookup.seed_axis(text)


@pytest.mark.parametrize("override", ["model.depth=18,56", "seed=range(0,3)", "seed=0,1"])
def test_the_folder_of_a_study_of_which_a_part_is_asked_for(override: str) -> None:
    folder = lookup.folder_of("depth_sweep", "quick", [override, "output_root=runs"])
    assert folder == Path("runs/depth_sweep/quick")


def test_the_folder_of_a_study_that_cannot_be_composed_yet() -> None:
    """Its learning rates are chosen by another study, which has not run at this preset."""
    assert lookup.folder_of("lr_fair", "paper") == Path("outputs/lr_fair/paper")
