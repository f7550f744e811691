"""What is kept of measurements, against the standard library and by hand."""

import json
import statistics
from pathlib import Path

import pytest

from degradation.benchmark.results import headlines, keep, lines, ratios, rows, spread


def test_a_number_tells_its_median_and_range() -> None:
    values = [3.0, 1.0, 2.0, 10.0]
    number = spread(values, "s")
    assert number["median"] == statistics.median(values)
    assert (number["min"], number["max"], number["n"], number["unit"]) == (1, 10, 4, "s")
    assert "met" not in number


@pytest.mark.parametrize(
    ("values", "limits", "met"),
    [
        ([1.4, 1.3, 1.36], {"at_least": 1.35}, True),
        ([1.4, 1.3, 1.34], {"at_least": 1.35}, False),
        ([7.0, 8.0, 9.0], {"at_most": 8.0}, True),
        ([7.0, 8.1, 9.0], {"at_most": 8.0}, False),
    ],
)
def test_the_median_is_held_against_the_target(
    values: list[float], limits: dict[str, float], met: bool
) -> None:
    assert spread(values, "x", **limits)["met"] is met


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([20.0, 5.0], [10.0, 2.0]) == [2.0, 2.5]


def test_a_part_replaces_itself_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "results" / "cpu.json"
    keep(path, "start", {"command": {"n": 1}})
    keep(path, "steps", {"resnet20": {"n": 7}})
    keep(path, "start", {"command": {"n": 5}})
    assert json.loads(path.read_text()) == {
        "start": {"command": {"n": 5}},
        "steps": {"resnet20": {"n": 7}},
    }


def test_a_missed_target_is_shown_as_plainly_as_a_met_one() -> None:
    part = {
        "environment": {"cores": 2},
        "quick": spread([6.0], "min", at_most=8),
        "slow": spread([9.0], "min", at_most=8),
    }
    met, missed = lines(part)
    assert met.startswith("quick ")
    assert met.endswith("; at most 8; met")
    assert missed.endswith("; at most 8; MISSED")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (4.0, "at most 8, stretch at most 4; met, stretch too"),
        (5.0, "at most 8, stretch at most 4; met"),
        (9.0, "at most 8, stretch at most 4; MISSED"),
    ],
)
def test_a_stretch_is_shown_beside_the_target(value: float, shown: str) -> None:
    (line,) = lines({"seed": spread([value], "min", at_most=8, stretch=4)})
    assert line.endswith(f"; {shown}")


def test_a_stretch_has_the_direction_of_its_target() -> None:
    ratio = spread([3.5], "x", at_least=1.5, stretch=3)
    assert (ratio["stretch"], ratio["stretch_met"]) == ("at least 3", True)


def test_text_is_for_the_terminal_and_details_are_not_for_the_readme() -> None:
    part = {
        "environment": {"cores": 2},
        "usual/step": spread([6.0], "ms"),
        "floor": spread([6.0], "ms"),
        "fleet_over_floor": spread([6.0], "x"),
        "ratio": spread([6.0], "x", at_least=1),
        "kernels": {"lines": ["60 % conv", "40 % add"]},
    }
    assert [line.split(maxsplit=1)[0] for line in lines(part)] == [
        *("usual/step", "floor", "fleet_over_floor", "ratio", "kernels", "kernels")
    ]
    assert [row[0] for row in rows(headlines(part))] == [
        *("usual/step", "fleet_over_floor", "ratio")
    ]
