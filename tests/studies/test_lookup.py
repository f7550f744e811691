"""What a study is asked for by."""

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
