"""Verdicts on studies whose answers are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats
from tests.analysis.synthetic import write_run

from degradation.analysis.claims import Claims, ClaimsError, load
from degradation.analysis.curves import RunCurves, Study, StudyError
from degradation.analysis.estimands import Metric
from degradation.analysis.judge import Verdict, judge
from degradation.analysis.sources import read

RISE = "eval/train_error_pct(plain,56) - eval/train_error_pct(plain,18)"
Errors = Mapping[tuple[str, int], Sequence[float | None]]


def claims_file(folder: Path, *changes: Mapping[str, Any], level: float = 0.025) -> Claims:
    base = {
        "sentence": "It rises.",
        "source": "Fig. 1",
        "paper": "",
        "presets": ["quick"],
        "type": "superiority",
        "estimand": RISE,
        "margin": {"quick": 5},
        "power": {"quick": {3: 0.9}},
    }
    claims = []
    for number, change in enumerate(changes):
        claim = {"id": f"claim-{number}", **base, **change}
        if claim["type"] == "exact":
            claim = {key: claim[key] for key in claim if key not in ("margin", "power")}
        claims.append(claim)
    file = {"experiment": "depth_sweep", "data": "cifar10", "level": level, "expected": {}}
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({**file, "claims": claims}))
    return load(path)


def study_of(folder: Path, errors: Errors) -> Study:
    for (kind, depth), values in errors.items():
        for seed, value in enumerate(values):
            write_run(folder, kind, depth, seed, value)
    return read(folder)


def one(folder: Path, errors: Errors, **claim: Any) -> Verdict:
    (verdict,) = judge(claims_file(folder, claim), "quick", study_of(folder, errors))
    return verdict


DEEP, SHALLOW = [81.0, 83.5, 82.0], [56.0, 54.5, 59.0]


@pytest.mark.parametrize(
    ("kind", "margin", "answer"),
    [
        ("superiority", 5, "SUPPORTED"),
        ("superiority", 25, "INCONCLUSIVE"),
        ("superiority", 50, "REFUTED"),
        ("non-inferiority", 50, "SUPPORTED"),
        ("non-inferiority", 25, "INCONCLUSIVE"),
        ("non-inferiority", 5, "REFUTED"),
    ],
)
def test_answers_agree_with_scipys_test(
    tmp_path: Path, kind: str, margin: float, answer: str
) -> None:
    errors = {("plain", 56): DEEP, ("plain", 18): SHALLOW}
    verdict = one(tmp_path, errors, type=kind, margin={"quick": margin})
    shifted = [value - margin for value in DEEP]
    side = "greater" if kind == "superiority" else "less"
    p = stats.ttest_ind(shifted, SHALLOW, equal_var=False, alternative=side).pvalue
    assert verdict.answer == answer
    assert verdict.p_holm == pytest.approx(p)
    assert verdict.n == {"plain-56": 3, "plain-18": 3}
    assert verdict.estimate == pytest.approx(82.1666667 - 56.5)
    assert verdict.interval is not None
    assert verdict.interval[0] < 25.67 < verdict.interval[1]


def test_pairs_are_compared_seed_by_seed(tmp_path: Path) -> None:
    """Arms that vary much from seed to seed, but together; the last seed has no partner."""
    deep, shallow = [30.0, 50.0, 70.0, 82.0], [28.0, 47.5, 68.5]
    errors = {("plain", 56): deep, ("plain", 18): shallow}
    verdict = one(tmp_path, errors, paired=True, margin={"quick": 0})
    p = stats.ttest_rel(deep[:3], shallow, alternative="greater").pvalue
    assert verdict.p_holm == pytest.approx(p)
    assert verdict.answer == "SUPPORTED"
    assert verdict.n == {"plain-56": 3, "plain-18": 3}
    assert one(tmp_path, errors, margin={"quick": 0}).answer == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("difference", "margin", "answer"),
    [
        (0.3, 5, "SUPPORTED"),
        (-0.3, 5, "SUPPORTED"),
        (0.3, 1, "INCONCLUSIVE"),  # the interval is wider than the margins
        (4.0, 5, "INCONCLUSIVE"),
        (20.0, 5, "REFUTED"),
        (-20.0, 5, "REFUTED"),
    ],
)
def test_equivalence_is_both_one_sided_tests_at_once(
    tmp_path: Path, difference: float, margin: float, answer: str
) -> None:
    other = [value + difference for value in (80.9, 83.4, 82.2)]
    errors = {("plain", 56): other, ("plain", 18): DEEP}
    verdict = one(tmp_path, errors, type="equivalence", margin={"quick": margin})
    p = {
        (side, edge): stats.ttest_ind(
            [value - edge for value in other], DEEP, equal_var=False, alternative=side
        ).pvalue
        for side in ("greater", "less")
        for edge in (-margin, margin)
    }
    assert verdict.answer == answer
    assert verdict.p_holm == pytest.approx(max(p["greater", -margin], p["less", margin]))
    # the contrary may be true on either side, so it has two chances
    beyond = min(1, 2 * min(p["greater", margin], p["less", -margin]))
    assert verdict.p_contrary_holm == pytest.approx(beyond)
    assert verdict.interval is not None
    inside = -margin < verdict.interval[0] and verdict.interval[1] < margin
    assert inside == (answer == "SUPPORTED")


def test_arm_with_overrides_is_an_arm_of_its_own(tmp_path: Path) -> None:
    for seed, (plain, other) in enumerate(zip(DEEP, SHALLOW, strict=True)):
        write_run(tmp_path, "plain", 56, seed, plain)
        run = write_run(tmp_path, "plain", 56, seed + 10, other)
        config = run / "config.yaml"
        config.write_text(config.read_text().replace("seed: 1", f"seed: {seed} #", 1))
        config.write_text(config.read_text().replace("precision: fp32", "precision: bf16"))
        run.rename(run.with_name(f"plain-56-precisionbf16-s{seed}"))
    estimand = "eval/train_error_pct(plain, 56) - eval/train_error_pct(plain,56,precisionbf16)"
    (verdict,) = judge(claims_file(tmp_path, {"estimand": estimand}), "quick", read(tmp_path))
    assert verdict.n == {"plain-56": 3, "plain-56-precisionbf16": 3}
    assert verdict.estimate == pytest.approx(82.1666667 - 56.5)


MISSING = {"estimand": "test/error_pct(plain,110) - test/error_pct(plain,18)"}


def test_holm_spans_all_statistical_claims_also_those_without_runs(tmp_path: Path) -> None:
    errors = {("plain", 56): DEEP, ("plain", 18): SHALLOW}
    study = study_of(tmp_path, errors)
    alone = judge(claims_file(tmp_path, {}), "quick", study)
    exact = {"type": "exact", "estimand": ["parameters(plain,18)"], "value": 18000}
    family = judge(claims_file(tmp_path, {}, MISSING, MISSING, exact), "quick", study)
    assert alone[0].p_holm is not None
    assert family[0].p_holm == pytest.approx(3 * alone[0].p_holm)
    assert [v.answer for v in family] == ["SUPPORTED", "INCONCLUSIVE", "INCONCLUSIVE", "SUPPORTED"]
    assert family[1].reason == "arm plain-110 has no finished run"


def test_holm_spans_the_contraries_of_all_claims_too(tmp_path: Path) -> None:
    study = study_of(tmp_path, {("plain", 56): DEEP, ("plain", 18): SHALLOW})
    refuted = {"margin": {"quick": 50}}
    (alone,) = judge(claims_file(tmp_path, refuted), "quick", study)
    first, *_ = judge(claims_file(tmp_path, refuted, MISSING, MISSING), "quick", study)
    assert alone.p_contrary_holm is not None
    assert first.p_contrary_holm == pytest.approx(3 * alone.p_contrary_holm)


def test_one_seed_is_never_an_answer(tmp_path: Path) -> None:
    verdict = one(tmp_path, {("plain", 56): DEEP, ("plain", 18): [10.0]})
    assert (verdict.answer, verdict.interval, verdict.p_holm) == ("INCONCLUSIVE", None, None)
    assert verdict.reason == "arm plain-18 has one run; a test needs two"
    assert verdict.estimate == pytest.approx(72.1666667)


def test_diverged_runs_count_as_90_percent_and_are_counted(tmp_path: Path) -> None:
    verdict = one(tmp_path, {("plain", 56): [None, 88.0, None], ("plain", 18): SHALLOW})
    reference = stats.ttest_ind([90, 88, 90], SHALLOW, equal_var=False).confidence_interval(0.95)
    assert verdict.interval == pytest.approx((reference.low, reference.high))
    assert verdict.diverged == {"plain-56": 2}
    assert verdict.answer == "SUPPORTED"


def test_arms_that_never_vary_have_no_answer(tmp_path: Path) -> None:
    verdict = one(tmp_path, {("plain", 56): [None] * 3, ("plain", 18): [None] * 3})
    assert verdict.answer == "INCONCLUSIVE"
    assert "agree exactly" in verdict.reason


def test_permutation_stands_beside_from_five_seeds_on(tmp_path: Path) -> None:
    shallow = [56.0, 54.0, 58.0, 60.0, 55.0]
    modes = [None, None, 87.0, None, 86.0]
    verdict = one(tmp_path, {("plain", 56): modes, ("plain", 18): shallow}, permutation=True)
    assert verdict.answer == "SUPPORTED"
    assert verdict.p_permutation == pytest.approx(1 / 252)
    few = tmp_path / "few"
    few.mkdir()
    verdict = one(few, {("plain", 56): modes[:4], ("plain", 18): shallow}, permutation=True)
    assert verdict.p_permutation is None
    assert verdict.reason == "no permutation test below 5 seeds an arm"


RISEN, LOW = [82.0, 83.0, 81.0, 84.0, 82.5], [56.0, 54.0, 58.0, 60.0, 55.0]


@pytest.mark.parametrize(
    ("deep", "margin", "answer", "p_permutation"),
    [
        (RISEN, 50, "REFUTED", 1 / 252),  # of the contrary: all relabellings are above
        ([value + 5 for value in LOW], 5, "INCONCLUSIVE", 144 / 252),
        (RISEN * 2 + RISEN[:1], 5, "SUPPORTED", None),  # 11 against 11: too many relabellings
    ],
)
def test_permutation_beside_other_answers_takes_nothing_back(
    tmp_path: Path, deep: list[float], margin: float, answer: str, p_permutation: float | None
) -> None:
    low = LOW * 2 + LOW[:1]
    errors = {("plain", 56): deep, ("plain", 18): low[: len(deep)]}
    verdict = one(tmp_path, errors, permutation=True, margin={"quick": margin})
    assert (verdict.answer, verdict.reason) == (answer, "")
    assert verdict.p_permutation == pytest.approx(p_permutation)


def test_permutation_can_take_an_answer_back(tmp_path: Path) -> None:
    """1/252 is above a level of 0.003, which Welch's p is below."""
    errors = {("plain", 56): [82, 83, 82, 83, 82.5], ("plain", 18): [56, 57, 56, 57, 56.5]}
    claims = claims_file(tmp_path, {"permutation": True}, level=0.003)
    (verdict,) = judge(claims, "quick", study_of(tmp_path, errors))
    assert verdict.answer == "INCONCLUSIVE"
    assert verdict.reason == "SUPPORTED by Welch's test, but not by the permutation test"


def test_a_level_never_reached_is_counted(tmp_path: Path) -> None:
    curve = "iterations_to[eval/train_subset_error_pct <= 60]"
    errors = {("plain", 56): DEEP, ("residual", 56): [49.0, 50.0, 30.0]}
    verdict = one(tmp_path, errors, estimand=f"{curve}(plain,56) - {curve}(residual,56)")
    assert verdict.censored == {"plain-56": 3}
    assert verdict.estimate == pytest.approx(600 - (300 + 300 + 200) / 3)


def test_a_diverged_run_takes_the_full_length_to_a_level_and_no_90_percent(tmp_path: Path) -> None:
    curve = "iterations_to[eval/train_subset_error_pct <= 60]"
    errors: Errors = {("plain", 56): [*DEEP[:2], None], ("residual", 56): [49.0, 50.0, 30.0]}
    verdict = one(tmp_path, errors, estimand=f"{curve}(plain,56) - {curve}(residual,56)")
    assert verdict.diverged == {}
    assert verdict.censored == {"plain-56": 3}


def test_a_run_that_diverged_before_its_curve_began_never_reaches_a_level() -> None:
    level = Metric("train/error_pct", 20.0)
    assert probed("plain", 0, None).value(level) == 10  # the full length
    assert probed("plain", 0, 1.0).value(level) is None


def test_exact_claims(tmp_path: Path) -> None:
    equal = "multiply_adds(plain,{0}) - multiply_adds(residual,{0})"
    claim = {"type": "exact", "value": 0, "estimand": [equal.format(18), equal.format(56)]}
    errors = {(kind, depth): [50.0] for kind in ("plain", "residual") for depth in (18, 56)}
    study = study_of(tmp_path, errors)
    (verdict,) = judge(claims_file(tmp_path, claim), "quick", study)
    assert (verdict.answer, verdict.estimate) == ("SUPPORTED", 0)  # one run is enough
    false = "parameters(plain,18) - parameters(residual,56)"
    unequal = {**claim, "estimand": [false]}
    missing = {**claim, "estimand": [equal.format(110)]}
    both = {**claim, "estimand": [equal.format(110), false]}
    verdicts = judge(claims_file(tmp_path, unequal, missing, both), "quick", study)
    assert [verdict.answer for verdict in verdicts] == ["REFUTED", "INCONCLUSIVE", "REFUTED"]
    assert "is -38000" in verdicts[0].reason


def test_a_csv_has_no_counts(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("kind,depth,seed,iteration,test_error_pct\nplain,18,0,9,3\nplain,18,1,9,4\n")
    claim = {"type": "exact", "value": 0, "estimand": ["parameters(plain,18)"]}
    verdicts = judge(
        claims_file(tmp_path, claim, {"estimand": "eval/train_error_pct(plain,18)"}),
        "quick",
        read(path),
    )
    assert [verdict.answer for verdict in verdicts] == ["NOT JUDGED", "INCONCLUSIVE"]
    assert verdicts[1].reason == "no run of arm plain-18 has eval/train_error_pct"


def test_claims_judge_only_what_they_are_made_for(tmp_path: Path) -> None:
    write_run(tmp_path, "plain", 18, 0, 56, data={"name": "shapes"})
    with pytest.raises(ClaimsError, match=r"data set 'shapes', but .* judges 'cifar10'"):
        judge(claims_file(tmp_path, {}), "quick", read(tmp_path))
    with pytest.raises(ClaimsError, match=r"preset 'quick', but .* judges 'paper'"):
        judge(claims_file(tmp_path, {}), "paper", read(tmp_path))


def test_arms_of_different_settings_are_compared_where_the_claims_say_so(tmp_path: Path) -> None:
    claims = claims_file(tmp_path, {})
    for seed, (shallow, deep) in enumerate(zip(SHALLOW, DEEP, strict=True)):
        write_run(tmp_path, "plain", 18, seed, shallow, optim={"lr": 0.3})
        write_run(tmp_path, "plain", 56, seed, deep, optim={"lr": 0.1})
    study = read(tmp_path)
    with pytest.raises(StudyError, match=r"not compared, .* optim.lr: 0.3 / 0.1"):
        judge(claims, "quick", study)
    claims.path.write_text(claims.path.read_text() + "by_arm: [optim.lr]\n")
    (verdict,) = judge(load(claims.path), "quick", study)
    assert verdict.answer == "SUPPORTED"


def probed(kind: str, seed: int, value: float | None, metric: str = "test/loss") -> RunCurves:
    """A run of 4 layers that diverged where it has no value."""
    status = "diverged" if value is None else "finished"
    last = {} if value is None else {metric: value}
    return RunCurves(f"{kind}-4-s{seed}", f"{kind}-4", kind, 4, seed, status, 10, last, {}, 10)


DIFFERENCE = {"estimand": "test/loss(plain,4) - test/loss(residual,4)", "margin": {"quick": 0}}


def test_diverged_runs_are_not_passed_over_where_they_have_no_number(tmp_path: Path) -> None:
    losses: dict[str, list[float | None]] = {
        "plain": [0.9, 0.91, None],
        "residual": [0.1, 0.11, 0.12],
    }
    runs = [probed(kind, i, x) for kind, found in losses.items() for i, x in enumerate(found)]
    (verdict,) = judge(claims_file(tmp_path, DIFFERENCE), "quick", Study(tmp_path, runs))
    assert verdict.answer == "INCONCLUSIVE"
    assert verdict.reason == "1 of 3 runs of arm plain-4 diverged and have no such number"
    assert verdict.diverged == {}


def test_pairs_need_common_seeds(tmp_path: Path) -> None:
    runs = [probed("plain", seed, 1.0 + seed) for seed in (0, 1)]
    runs += [probed("residual", seed, 1.0) for seed in (2, 3)]
    claims = claims_file(tmp_path, {**DIFFERENCE, "paired": True})
    (verdict,) = judge(claims, "quick", Study(tmp_path, runs))
    assert verdict.reason == "no seed for which every arm has its number"


@pytest.mark.parametrize(
    ("values", "answer"),
    [([0.0, 0.0], "SUPPORTED"), ([0.0, 1.0], "REFUTED"), ([0.0, None], "INCONCLUSIVE")],
)
def test_exact_numbers_of_probes_need_every_run(
    tmp_path: Path, values: list[float | None], answer: str
) -> None:
    runs = [probed("plain", seed, value, "probe/x") for seed, value in enumerate(values)]
    exact = {"type": "exact", "estimand": "probe/x(plain,4)", "value": 0}
    (verdict,) = judge(claims_file(tmp_path, exact), "quick", Study(tmp_path, runs))
    assert verdict.answer == answer
