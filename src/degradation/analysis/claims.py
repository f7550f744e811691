"""`claims.yaml`: what a study claims, written down before the runs that judge it.

A file holds `experiment`, `data` (the data set the claims are made for), `level` (one-sided error
of all statistical claims together), `expected` (assumed mean and standard deviation over seeds for
the power) and `claims`; also `by_arm`, the settings that each arm has of its own, as otherwise arms
without overrides are compared only if they differ by nothing but kind and depth. Each claim has
`id`, `sentence`, `source`, `paper` (what the paper reports, in a few words, or empty), `presets`,
`type` and `estimand`; a statistical one `margin` and `power` (seeds -> probability of SUPPORTED)
for each preset; `exact` ones list estimands that must all equal `value`. `permutation: true` asks
for the permutation test beside Welch's; `paired: true` takes the differences seed by seed, where
the arms of a seed begin with the same weights or see the same data.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from degradation import plain
from degradation.analysis.estimands import ERRORS, PROBE, Estimand, EstimandError, parse
from degradation.measured import LOSSES

EXPERIMENTS = Path("experiments")
PRESETS = ("quick", "paper")
DATA_SETS = ("cifar10", "shapes", "mnist", "uniform")
SUPERIORITY, NON_INFERIORITY = "superiority", "non-inferiority"
EQUIVALENCE, EXACT = "equivalence", "exact"
TYPES = (SUPERIORITY, NON_INFERIORITY, EQUIVALENCE, EXACT)

_FILE_KEYS = ("experiment", "data", "level", "expected", "claims")
_OPTIONAL_FILE_KEYS = ("by_arm",)
_COMMON_KEYS = ("id", "sentence", "source", "paper", "presets", "type", "estimand")
_STATISTICAL_KEYS = (*_COMMON_KEYS, "margin", "power")
_EXACT_KEYS = (*_COMMON_KEYS, "value")
_OPTIONAL_KEYS = ("permutation", "paired")

T = TypeVar("T")

Expected = dict[str, dict[str, dict[str, tuple[float, float]]]]
"""preset -> metric -> arm -> (mean, standard deviation over seeds)."""


NO_EXPERIMENT, USUAL_LEVEL = "adhoc", 0.025
"""What runs without `+experiment=` go by; the level of the intervals where nothing is claimed."""


class ClaimsError(ValueError):
    """A claims file that cannot be used; the message names file, claim and key."""


@dataclass(frozen=True)
class Claim:
    """One sentence and how it is judged."""

    id: str
    sentence: str
    source: str
    paper: str
    presets: tuple[str, ...]
    type: str
    estimands: tuple[Estimand, ...]
    """One; several for `exact`, which must all hold."""
    margin: dict[str, float]
    """By preset, in the unit of the estimand; for `exact` the value."""
    power: dict[str, dict[int, float]]
    """By preset: seeds an arm -> expected probability of SUPPORTED."""
    permutation: bool = False
    paired: bool = False
    """Student's t over the seeds' own sums, instead of Welch's over independent arms."""


@dataclass(frozen=True)
class Claims:
    """A claims file."""

    path: Path
    experiment: str
    data: str
    level: float
    expected: Expected
    claims: tuple[Claim, ...]
    by_arm: tuple[str, ...] = ()
    """Keys of the config, `optim.lr`, that differ from arm to arm by the study's design."""

    def for_preset(self, preset: str) -> tuple[Claim, ...]:
        """Raises ClaimsError where the file claims nothing for this preset."""
        chosen = tuple(claim for claim in self.claims if preset in claim.presets)
        if not chosen:
            made_for = sorted({p for claim in self.claims for p in claim.presets})
            raise ClaimsError(
                f"{self.path}: no claims for preset {preset!r}; made for {', '.join(made_for)}"
            )
        return chosen


def claims_path(experiment: str, root: Path = Path()) -> Path:
    """Where an experiment's claims stand, from the repository's root."""
    return root / EXPERIMENTS / experiment / "claims.yaml"


def of_study(experiment: str, data: str, repository: Path) -> Claims:
    """Those of its claims file; none of runs that belong to no experiment. Raises ClaimsError."""
    path = claims_path(experiment, repository)
    if experiment == NO_EXPERIMENT:
        return Claims(path, experiment, data, USUAL_LEVEL, {}, ())
    return load(path)


def load(path: Path) -> Claims:
    """Raises ClaimsError, in one line, for whatever is missing, misspelt or unknown."""
    try:
        content = plain.yaml_of(path)
    except FileNotFoundError:
        raise ClaimsError(f"{path}: no such claims file") from None
    except plain.PlainError as error:
        raise ClaimsError(f"{path}: not YAML of plain values: {error}") from None
    file = _mapping(content, str(path), _FILE_KEYS, _OPTIONAL_FILE_KEYS)
    level = _number(file["level"], f"{path}: level")
    if not 0 < level < 0.5:
        raise ClaimsError(f"{path}: level: {level}; accepted: between 0 and 0.5")
    if not isinstance(file["claims"], list) or not file["claims"]:
        raise ClaimsError(f"{path}: claims: accepted: a list of claims")
    claims = tuple(_claim(entry, path, number) for number, entry in enumerate(file["claims"], 1))
    ids = [claim.id for claim in claims]
    for double in {i for i in ids if ids.count(i) > 1}:
        raise ClaimsError(f"{path}: claim {double}: id: used twice")
    data = _one_of(file["data"], DATA_SETS, f"{path}: data")
    expected = _expected(file["expected"], f"{path}: expected")
    experiment = _text(file["experiment"], f"{path}: experiment")
    by_arm = file.get("by_arm", [])
    if not isinstance(by_arm, list):
        raise ClaimsError(f"{path}: by_arm: {by_arm!r}; accepted: a list of settings")
    by_arm = tuple(_text(key, f"{path}: by_arm") for key in by_arm)
    return Claims(path, experiment, data, level, expected, claims, by_arm)


def _claim(entry: Any, path: Path, number: int) -> Claim:
    name = entry.get("id", f"number {number}") if isinstance(entry, dict) else f"number {number}"
    where = f"{path}: claim {name}"
    if not isinstance(entry, dict) or "type" not in entry:
        raise ClaimsError(f"{where}: type: missing; accepted: {', '.join(TYPES)}")
    kind = _one_of(entry["type"], TYPES, f"{where}: type")
    required, optional = (_EXACT_KEYS, ()) if kind == EXACT else (_STATISTICAL_KEYS, _OPTIONAL_KEYS)
    _mapping(entry, where, required, optional)
    presets = _presets(entry["presets"], f"{where}: presets")
    margin: dict[str, float]
    power: dict[str, dict[int, float]] = {}
    if kind == EXACT:
        margin = dict.fromkeys(presets, _number(entry["value"], f"{where}: value"))
    else:
        margin = _by_preset(entry["margin"], presets, _number, f"{where}: margin")
        power = _by_preset(entry["power"], presets, _power, f"{where}: power")
    estimands = _estimands(entry["estimand"], kind, f"{where}: estimand")
    permutation = entry.get("permutation", False)
    if permutation and entry.get("paired"):
        raise ClaimsError(f"{where}: permutation: true; accepted: false where paired is true")
    fits = kind != EQUIVALENCE and estimands[0].is_two_sample
    if permutation not in (True, False) or (permutation and not fits):
        accepted = (
            "true (for the difference of two arms in one metric, not of equivalence) or false"
        )
        raise ClaimsError(f"{where}: permutation: {permutation!r}; accepted: {accepted}")
    return Claim(
        id=_text(entry["id"], f"{where}: id"),
        sentence=_text(entry["sentence"], f"{where}: sentence"),
        source=_text(entry["source"], f"{where}: source"),
        paper=_text(entry["paper"], f"{where}: paper", may_be_empty=True),
        presets=presets,
        type=kind,
        estimands=estimands,
        margin=margin,
        power=power,
        permutation=permutation,
        paired=_flag(entry.get("paired", False), f"{where}: paired"),
    )


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ClaimsError(f"{where}: {value!r}; accepted: true or false")
    return value


def _presets(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ClaimsError(f"{where}: {value!r}; accepted: a list of {', '.join(PRESETS)}")
    return tuple(_one_of(preset, PRESETS, where) for preset in value)


def _by_preset(
    value: Any, presets: tuple[str, ...], read: Callable[[Any, str], T], where: str
) -> dict[str, T]:
    entries = _mapping(value, where, presets)
    return {preset: read(entry, f"{where}: {preset}") for preset, entry in entries.items()}


def _estimands(value: Any, kind: str, where: str) -> tuple[Estimand, ...]:
    texts = value if kind == EXACT and isinstance(value, list) and value else [value]
    try:
        estimands = tuple(parse(_text(text, where)) for text in texts)
    except EstimandError as error:
        raise ClaimsError(f"{where}: {error}") from None
    for metric in (metric for estimand in estimands for metric in estimand.metrics):
        fits = (metric.is_count or metric.name.startswith(PROBE)) if kind == EXACT else True
        if not fits or (metric.is_count and kind != EXACT):
            counted, measured = "parameters, multiply_adds, probe/...", "errors, iterations_to"
            accepted = counted if kind == EXACT else measured
            raise ClaimsError(f"{where}: {metric} in a claim of type {kind}; accepted: {accepted}")
    return estimands


def _power(value: Any, where: str) -> dict[int, float]:
    if not isinstance(value, dict) or not all(isinstance(n, int) and n >= 2 for n in value):
        raise ClaimsError(f"{where}: {value!r}; accepted: seeds an arm (2 or more): probability")
    power = {n: _number(p, f"{where}: {n}") for n, p in value.items()}
    if not all(0 <= p <= 1 for p in power.values()):
        raise ClaimsError(f"{where}: {value!r}; accepted: probabilities between 0 and 1")
    return power


def _expected(value: Any, where: str) -> Expected:
    """Arms and metrics of no interest to the power may be left out."""
    expected: Expected = {}
    for preset, metrics in _mapping(value, where, (), PRESETS).items():
        expected[preset] = {}
        for metric, arms in _mapping(metrics, f"{where}: {preset}", (), None).items():
            others = ("iterations_to[", "first[", PROBE)
            known = (*ERRORS, *LOSSES)
            if metric not in known and not str(metric).startswith(others):
                raise ClaimsError(
                    f"{where}: {preset}: unknown metric {metric!r}; accepted: {', '.join(known)}"
                )
            pairs = _mapping(arms, f"{where}: {preset}: {metric}", (), None)
            expected[preset][metric] = {
                arm: _pair(p, f"{where}: {preset}: {metric}: {arm}") for arm, p in pairs.items()
            }
    return expected


def _pair(value: Any, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ClaimsError(f"{where}: {value!r}; accepted: [mean, standard deviation]")
    return _number(value[0], where), _number(value[1], where)


def _mapping(
    value: Any, where: str, required: Iterable[str], optional: Iterable[str] | None = ()
) -> Mapping[str, Any]:
    """`optional` None: any further key."""
    required = tuple(required)
    if not isinstance(value, dict):
        raise ClaimsError(f"{where}: {value!r}; accepted: a mapping")
    accepted = None if optional is None else (*required, *optional)
    for key in value:
        if accepted is not None and key not in accepted:
            raise ClaimsError(f"{where}: unknown key {key!r}; accepted: {', '.join(accepted)}")
    for key in required:
        if key not in value:
            raise ClaimsError(f"{where}: key {key!r} is missing; needed: {', '.join(required)}")
    return value


def _one_of(value: Any, accepted: tuple[str, ...], where: str) -> str:
    if value not in accepted:
        raise ClaimsError(f"{where}: {value!r}; accepted: {', '.join(accepted)}")
    return str(value)


def _text(value: Any, where: str, may_be_empty: bool = False) -> str:
    if not isinstance(value, str) or not (value.strip() or may_be_empty):
        raise ClaimsError(f"{where}: {value!r}; accepted: text")
    return " ".join(value.split())


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ClaimsError(f"{where}: {value!r}; accepted: a number")
    return float(value)
