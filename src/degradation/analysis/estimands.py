"""Estimands: linear combinations of an arm's numbers, as `claims.yaml` writes them.

`0.5*(eval/train_error_pct(plain,110) - eval/train_error_pct(plain,18)) -
eval/train_error_pct(residual,110)`: a term is a metric of an arm, `metric(kind,depth)`; terms may
be added, subtracted, put in brackets, and multiplied or divided by numbers. An arm with overrides
has them, as its name has, in third place: `test/error_pct(plain,56,precisionbf16)`.
`iterations_to[train/error_pct <= 20](plain,34)` is the first iteration at which that curve is at 20
% or below (also of a probe's curve), `first[probe/responses/mean](plain,34)` the first value on
record: before any step.
"""

import ast
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass

from degradation.measured import LOSSES
from degradation.plain import is_number

KINDS = ("plain", "residual")
ERRORS = (
    "eval/train_error_pct",
    "eval/train_subset_error_pct",
    "train/error_pct",
    "test/error_pct",
    "test/subset_error_pct",
)
COUNTS = ("parameters", "multiply_adds")
MOST_LETTERS = 1000
"""Of an estimand; beyond, its numbers and brackets are more than a parser's."""
PROBE = "probe/"
"""What the probes' entries in a record begin with."""
SHAPES = (
    f"metric(kind,depth) with a metric of {', '.join((*ERRORS, *LOSSES, *COUNTS))}, "
    "probe/..., iterations_to[<curve> <= <value>] or first[<curve>]"
)

_TERM = re.compile(
    r"(?P<metric>iterations_to\s*\[\s*(?P<curve>[\w/]+)\s*<=\s*(?P<level>\d+(?:\.\d+)?)\s*\]|first\s*\[\s*(?P<first>[\w/]+)\s*\]|[A-Za-z_][\w/]*)"
    r"\s*\(\s*(?P<kind>\w+)\s*,\s*(?P<depth>\d+)\s*(?:,\s*(?P<rest>[\w.-]+)\s*)?\)"
)


class EstimandError(ValueError):
    """An estimand that cannot be read; the message says what was found and what is accepted."""


@dataclass(frozen=True)
class Metric:
    """A number of a run: its last value of `name`, with `is_first` its first, or, with
    `reaches_pct`, when the curve `name` first falls to that (in percent for errors).
    """

    name: str
    reaches_pct: float | None = None
    is_first: bool = False

    @property
    def is_count(self) -> bool:
        return self.name in COUNTS

    def __str__(self) -> str:
        if self.is_first:
            return f"first[{self.name}]"
        return (
            self.name
            if self.reaches_pct is None
            else f"iterations_to[{self.name} <= {self.reaches_pct:g}]"
        )


@dataclass(frozen=True)
class Estimand:
    """The sum over arms, and within an arm over metrics, of coefficient times metric."""

    text: str
    arms: dict[str, dict[Metric, float]]
    """Arm (`plain-56`) -> metric -> coefficient. Metrics of one arm stay together: they come from
    the same runs, so they are not independent, and are summed run by run before anything is
    averaged.
    """

    @property
    def metrics(self) -> set[Metric]:
        return {metric for weights in self.arms.values() for metric in weights}

    @property
    def is_two_sample(self) -> bool:
        """Whether it is c * (an arm's metric - another arm's same metric), as a permutation test
        needs.
        """
        weights = list(self.arms.values())
        return len(weights) == 2 and weights[0] == {metric: -c for metric, c in weights[1].items()}


def parse(text: str) -> Estimand:
    """Raises EstimandError for what is no linear combination of known terms, or has a constant."""
    terms: list[tuple[str, Metric]] = []

    def place(match: re.Match[str]) -> str:
        term = _term(match)
        if term not in terms:
            terms.append(term)
        return f"t_{terms.index(term)}"

    if len(text) > MOST_LETTERS:
        raise EstimandError(f"{text[:60]!r}... is longer than {MOST_LETTERS} letters")
    try:
        with warnings.catch_warnings():  # "2or" is two words to Python, and a slip here
            warnings.simplefilter("error", SyntaxWarning)
            tree = ast.parse(_TERM.sub(place, text).strip(), mode="eval")
        sums = {i: c for i, c in _linear(tree.body, text, len(terms)).items() if c}
    except (SyntaxError, RecursionError, MemoryError):  # the last two of many brackets or signs
        raise EstimandError(f"{text!r} is not a sum of {SHAPES}") from None
    if None in sums or not sums or not all(map(is_number, sums.values())):
        raise EstimandError(f"{text!r} must be a sum of terms {SHAPES} without a constant")
    arms: defaultdict[str, dict[Metric, float]] = defaultdict(dict)
    for index, coefficient in sums.items():
        assert index is not None
        arm, metric = terms[index]
        arms[arm][metric] = coefficient
    return Estimand(text, dict(arms))


def _term(match: re.Match[str]) -> tuple[str, Metric]:
    kind, depth, curve = match["kind"], int(match["depth"]), match["curve"]
    if kind not in KINDS:
        raise EstimandError(f"unknown kind {kind!r} in {match[0]!r}; accepted: {', '.join(KINDS)}")
    if not is_number(depth) or depth < 2 or depth % 2:
        raise EstimandError(f"depth {depth} in {match[0]!r}; accepted: even, 2 or more")
    known = ERRORS if curve else (*ERRORS, *LOSSES, *COUNTS)
    name = curve or match["first"] or match["metric"]
    if name not in known and not name.startswith(PROBE):
        raise EstimandError(
            f"unknown metric {name!r} in {match[0]!r}; accepted: {', '.join(known)}"
        )
    arm = "-".join(filter(None, (kind, str(depth), match["rest"])))
    return arm, Metric(name, float(match["level"]) if curve else None, bool(match["first"]))


def _linear(node: ast.expr, text: str, terms: int) -> dict[int | None, float]:
    """Coefficients by the index of the term; None is the constant."""
    match node:
        case ast.Constant(value=int() | float() as value) if is_number(value):
            return {None: float(value)}
        case ast.Name(id=name) if (
            name.startswith("t_") and name[2:].isdigit() and int(name[2:]) < terms
        ):
            return {int(name[2:]): 1.0}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _scaled(_linear(operand, text, terms), -1.0)
        case ast.BinOp(left=left, op=(ast.Add() | ast.Sub()) as op, right=right):
            a, b = _linear(left, text, terms), _linear(right, text, terms)
            b = b if isinstance(op, ast.Add) else _scaled(b, -1.0)
            return {key: a.get(key, 0.0) + b.get(key, 0.0) for key in {**a, **b}}
        case ast.BinOp(left=left, op=(ast.Mult() | ast.Div()) as op, right=right):
            a, b = _linear(left, text, terms), _linear(right, text, terms)
            if isinstance(op, ast.Mult) and a.keys() == {None}:
                return _scaled(b, a[None])
            if b.keys() == {None} and (isinstance(op, ast.Mult) or b[None]):
                return _scaled(a, b[None] if isinstance(op, ast.Mult) else 1 / b[None])
    raise EstimandError(
        f"{text!r}: only sums of {SHAPES}, times or divided by numbers, are accepted"
    )


def _scaled(sums: dict[int | None, float], factor: float) -> dict[int | None, float]:
    return {key: factor * value for key, value in sums.items()}
