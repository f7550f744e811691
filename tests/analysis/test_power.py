"""The power written beside each claim is what the whole judgement gives under the file's own
assumptions.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from degradation.analysis.claims import Claims, claims_path, load
from degradation.analysis.curves import Curve, RunCurves, Study
from degradation.analysis.judge import SUPPORTED, judge

ROOT = Path(__file__).parents[2]
STUDIES = [
    (claims.experiment, preset, seeds)
    for path in sorted((ROOT / "experiments").glob("*/claims.yaml"))
    for claims in [load(path)]
    for preset in claims.expected
    for seeds in sorted({n for claim in claims.claims for n in claim.power.get(preset, ())})
]
DRAWS = 150


def draw(claims: Claims, preset: str, seeds: int, generator: np.random.Generator) -> Study:
    """A study as expected: normal, cut off at 0 and 90 % error; of curves the crossings alone."""
    last: defaultdict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    curves: defaultdict[tuple[str, int], dict[str, Curve]] = defaultdict(dict)
    for metric, arms in claims.expected[preset].items():
        for arm, (mean, spread) in arms.items():
            for seed, value in enumerate(generator.normal(mean, spread, seeds)):
                if metric.startswith("iterations_to["):
                    name, _, level = metric.removeprefix("iterations_to[").rstrip("]").split()
                    before = curves[arm, seed].get(name, Curve([], []))
                    crossings = [*zip(before.iterations, before.values, strict=True)]
                    crossings = sorted([*crossings, (round(value), float(level))])
                    curves[arm, seed][name] = Curve(*map(list, zip(*crossings, strict=True)))
                elif metric.startswith("first["):
                    name = metric.removeprefix("first[").rstrip("]")
                    curves[arm, seed][name] = Curve([0], [value])
                elif metric.startswith("probe/") or metric.endswith("loss"):
                    last[arm, seed][metric] = value
                else:
                    last[arm, seed][metric] = float(np.clip(value, 0, 90))
    runs = [
        RunCurves(
            f"{arm}-s{seed}", arm, arm.split("-")[0], int(arm.split("-")[1]), seed, "finished",
            64_000, last[arm, seed], curves[arm, seed], 64_000,
        )
        for arm, seed in last.keys() | curves.keys()
    ]  # fmt: skip
    return Study(Path("drawn"), runs)


@pytest.mark.parametrize(("experiment", "preset", "seeds"), STUDIES)
def test_power_is_as_written(experiment: str, preset: str, seeds: int) -> None:
    claims = load(claims_path(experiment, ROOT))
    generator = np.random.default_rng(0)
    supported: defaultdict[str, int] = defaultdict(int)
    for _ in range(DRAWS):
        for verdict in judge(claims, preset, draw(claims, preset, seeds, generator)):
            supported[verdict.id] += verdict.answer == SUPPORTED
    written = {
        claim.id: claim.power[preset][seeds]
        for claim in claims.for_preset(preset)
        if seeds in claim.power.get(preset, ())
    }
    surprises = {  # 0 and 1 are rounded
        name: (power, supported[name])
        for name, power in written.items()
        if binomtest(supported[name], DRAWS, np.clip(power, 0.005, 0.995)).pvalue < 1e-4
    }
    assert surprises == {}
