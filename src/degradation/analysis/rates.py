"""The rule by which lr_choice chooses each arm's learning rate for lr_fair, fixed before the runs:
the least mean error over seeds on the images held out, of equal ones the lower rate.
"""

from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from degradation import plain
from degradation.analysis.curves import RunCurves, Study, StudyError
from degradation.analysis.estimands import KINDS, Metric
from degradation.analysis.series import values_of
from degradation.records import write_atomically

VALIDATION_ERROR = Metric("test/error_pct")
"""Of a run with `data.split=val`, whose images held out stand in the test set's place."""

Rates = dict[float, list[RunCurves]]
"""Ended runs by learning rate."""


def by_rate(study: Study) -> dict[tuple[str, int], Rates]:
    """Ended runs on the split with images held out, by kind and depth, then by learning rate."""
    arms: defaultdict[tuple[str, int], Rates] = defaultdict(dict)
    for run in study.runs:
        if run.has_ended and run.config.get("data", {}).get("split") == "val":
            rate = run.config.get("optim", {}).get("lr")
            if rate is None:
                raise StudyError(f"{study.source}: {run.name}/config.yaml: key optim.lr is missing")
            arms[run.kind, run.depth].setdefault(rate, []).append(run)
    order = sorted(arms, key=lambda arm: (KINDS.index(arm[0]), arm[1]))
    return {arm: dict(sorted(arms[arm].items())) for arm in order}


def errors_pct(runs: list[RunCurves]) -> list[float]:
    """Validation error by seed; 90 % of a run that diverged."""
    return values_of(runs, VALIDATION_ERROR)


def best(rates: Rates) -> float:
    """The chosen rate of one arm."""
    return min(rates, key=lambda rate: (fmean(errors_pct(rates[rate])), rate))


def choose(study: Study) -> dict[str, float]:
    """Arm -> rate. Raises StudyError unless every arm has every rate with the same seeds."""
    arms = by_rate(study)
    cells = {
        (*arm, rate): sorted(run.seed for run in runs)
        for arm, rates in arms.items()
        for rate, runs in rates.items()
    }
    rates = {rate for *_, rate in cells}
    for kind, depth in arms:
        for rate in sorted(rates):
            found, wanted = cells.get((kind, depth, rate), []), next(iter(cells.values()))
            if found != wanted:
                raise StudyError(
                    f"{study.source}: {kind}-{depth} at {rate:g} has seeds {found}, another cell "
                    f"{wanted}; nothing is chosen from a grid with gaps"
                )
    if not arms:
        raise StudyError(f"{study.source}: no ended run with data.split=val")
    return {f"{kind}-{depth}": best(rates) for (kind, depth), rates in arms.items()}


def at_the_edge(study: Study, chosen: dict[str, float]) -> list[str]:
    """Arms whose rate is the grid's lowest or highest."""
    grid = {rate for rates in by_rate(study).values() for rate in rates}
    return [arm for arm, rate in chosen.items() if rate in (min(grid), max(grid))]


def write(path: Path, preset: str, chosen: dict[str, float]) -> None:
    """Puts a preset's rates into the table `path`; the comments at its head stay. StudyError where
    it is damaged.
    """
    text = path.read_text(encoding="utf-8")
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    tables = {**_tables(path), preset: chosen}
    write_atomically(path, (head + yaml.safe_dump(tables, sort_keys=False)).encode())


def _tables(path: Path) -> dict[str, Any]:
    try:
        tables = plain.yaml_of(path) or {}
    except plain.PlainError as error:
        raise StudyError(f"{path}: not YAML of plain values: {error}") from None
    if not isinstance(tables, dict):
        raise StudyError(f"{path}: not a YAML mapping")
    return tables
