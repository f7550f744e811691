"""The runs of a study as the analysis sees them, wherever they come from (`sources`)."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from degradation import records
from degradation.analysis.estimands import ERRORS, KINDS, Metric

DIVERGED_ERROR_PCT = 90.0
"""What a diverged run counts as: chance for ten classes."""

DATA_TITLES = {
    "cifar10": "CIFAR-10",
    "shapes": "shapes (procedural, not CIFAR-10)",
    "mnist": "MNIST",
    "uniform": "uniform random vectors",
}


class StudyError(ValueError):
    """Runs that cannot be judged together; the message names the file and what was found."""


@dataclass(frozen=True)
class Curve:
    iterations: list[int]
    values: list[float]


@dataclass(frozen=True)
class RunCurves:
    """One run."""

    name: str
    arm: str
    """`plain-56`; with overrides `plain-56-lr0.01`, which is another arm."""
    kind: str
    depth: int
    seed: int
    status: str
    """`finished`, `diverged` or `unfinished`."""
    iterations: int
    """The full length that was asked for."""
    last: dict[str, float]
    """The last iterate's numbers, and the counts where they are known."""
    curves: dict[str, Curve]
    reached: int
    """Iteration of its last record: of a diverged run at most the full length."""
    wall_s: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def overrides(self) -> str:
        """`lr0.01` of the arm `plain-56-lr0.01`, empty where there are none."""
        return self.arm.removeprefix(f"{self.kind}-{self.depth}").removeprefix("-")

    @property
    def has_ended(self) -> bool:
        return self.status != "unfinished"

    def value(self, metric: Metric) -> float | None:
        """None where it was not measured; a diverged run has 90 % error, a curve never down takes
        the full length.
        """
        if metric.is_first:
            curve = self.curves.get(metric.name)
            return curve.values[0] if curve and curve.iterations[0] == 0 else None
        if metric.reaches_pct is not None:
            return self._first_at(metric.name, metric.reaches_pct)
        if metric.name in ERRORS and self.status == records.DIVERGED:
            return DIVERGED_ERROR_PCT
        return self.last.get(metric.name)

    def is_censored(self, metric: Metric) -> bool:
        """Whether the curve never comes down to the metric's level, or has diverged before it was
        measured.
        """
        if metric.reaches_pct is None:
            return False
        if metric.name not in self.curves:
            return self.status == records.DIVERGED
        return min(self.curves[metric.name].values) > metric.reaches_pct

    def _first_at(self, name: str, level: float) -> float | None:
        if name not in self.curves:
            return float(self.iterations) if self.status == records.DIVERGED else None
        curve = self.curves[name]
        reached = (
            i for i, value in zip(curve.iterations, curve.values, strict=True) if value <= level
        )
        return float(next(reached, self.iterations))


@dataclass(frozen=True)
class Study:
    """Runs that may be pooled: one preset, one data set, one precision. None where a CSV does not
    say.
    """

    source: Path
    runs: list[RunCurves]
    experiment: str | None = None
    preset: str | None = None
    data: str | None = None
    precision: str | None = None

    def ended(self, arm: str) -> list[RunCurves]:
        """The arm's finished and diverged runs."""
        return [run for run in self.runs if run.arm == arm and run.has_ended]

    @property
    def arms(self) -> list[str]:
        """Plain first, by depth, then by name."""
        keys = {run.arm: (KINDS.index(run.kind), run.depth, run.arm) for run in self.runs}
        return sorted(keys, key=lambda arm: keys[arm])

    @property
    def is_of_the_papers_nets(self) -> bool:
        """Whether the paper's numbers may stand beside it: CIFAR-10, and its kind of net."""
        nets = {run.config.get("model", {}).get("net", "resnet") for run in self.runs}
        return self.data == "cifar10" and nets == {"resnet"}

    @property
    def variants(self) -> list[str]:
        """The arms' overrides, none first."""
        return sorted({run.overrides for run in self.runs}, key=lambda name: (len(name), name))

    @property
    def data_title(self) -> str:
        """The data set's name, with the warning that `shapes` needs wherever it stands."""
        return DATA_TITLES.get(self.data or "", self.data or "a data set not stated")

    @property
    def scope(self) -> str:
        """`CIFAR-10, preset quick`; arms with overrides may be of others, which are named."""
        preset = [f"preset {self.preset}"] if self.preset else []
        data = {str(run.config.get("data", {}).get("name", self.data)) for run in self.runs}
        presets = {str(run.config.get("preset", self.preset)) for run in self.runs}
        others = [DATA_TITLES.get(name, name) for name in sorted(data - {str(self.data)})]
        others += [f"preset {name}" for name in sorted(presets - {str(self.preset)})]
        mixed = [f"some arms: {', '.join(others)}"] if others else []
        return ", ".join([self.data_title, *preset, *mixed])

    def without_variants(self) -> "Study":
        """Its arms without overrides."""
        return replace(self, runs=[run for run in self.runs if not run.overrides])

    @property
    def test_name(self) -> str:
        """Of the errors under `test/...`."""
        return "held out" if self.holds_out else "test"

    @property
    def holds_out(self) -> bool:
        """Whether its test errors are those on training images held out (`data.split=val`)."""
        return any(run.config.get("data", {}).get("split") == "val" for run in self.runs)

    @property
    def has_spread(self) -> bool:
        """Whether an arm has several ended runs, so that there is a mean and a spread."""
        return any(len(self.ended(arm)) > 1 for arm in self.arms)

    @property
    def seeds_text(self) -> str:
        """For example `n = 3 seeds`, or `n = 2 to 3 seeds` where the arms differ; with the runs
        that diverged and those that are not counted.
        """
        counts = sorted({len(self.ended(arm)) for arm in self.arms}) or [0]
        span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        text = f"n = {span} seed{'' if span == '1' else 's'}"
        ended = [run for run in self.runs if run.has_ended]
        diverged = sum(run.status == records.DIVERGED for run in ended)
        text += f", {diverged} of {len(ended)} runs diverged" if diverged else ""
        left_out = len(self.runs) - len(ended)
        return f"{text}, {left_out} unfinished left out" if left_out else text
