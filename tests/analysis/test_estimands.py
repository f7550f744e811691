import pytest

from degradation.analysis.estimands import EstimandError, Metric, parse

TRAIN = Metric("eval/train_error_pct")


def test_difference_of_differences_with_coefficients() -> None:
    estimand = parse(
        "0.5*(eval/train_error_pct(plain,110) - eval/train_error_pct(plain,18))"
        " - (eval/train_error_pct(residual, 110) - eval/train_error_pct(residual,18))/2*2"
    )
    assert estimand.arms == {
        "plain-110": {TRAIN: 0.5},
        "plain-18": {TRAIN: -0.5},
        "residual-110": {TRAIN: -1.0},
        "residual-18": {TRAIN: 1.0},
    }
    assert not estimand.is_two_sample


def test_metrics_of_one_arm_stay_together() -> None:
    estimand = parse("test/error_pct(plain,56) - eval/train_error_pct(plain,56)")
    assert estimand.arms == {"plain-56": {Metric("test/error_pct"): 1.0, TRAIN: -1.0}}
    assert not estimand.is_two_sample


def test_iterations_to_a_level() -> None:
    estimand = parse("iterations_to[train/error_pct <= 20](plain,34)")
    assert estimand.metrics == {Metric("train/error_pct", 20.0)}
    assert str(Metric("train/error_pct", 20.0)) == "iterations_to[train/error_pct <= 20]"


def test_curves_of_probes_and_losses() -> None:
    assert parse("iterations_to[probe/identity/net <= 0.05](residual,2)").metrics == {
        Metric("probe/identity/net", 0.05)
    }
    assert parse("test/loss(plain,4)").arms == {"plain-4": {Metric("test/loss"): 1.0}}


def test_two_samples() -> None:
    assert parse("test/error_pct(plain,56) - test/error_pct(residual,56)").is_two_sample
    assert not parse("test/error_pct(plain,56) + test/error_pct(residual,56)").is_two_sample
    assert not parse("test/error_pct(plain,56) - 2*test/error_pct(residual,56)").is_two_sample
    assert not parse("test/error_pct(plain,56) - train/error_pct(residual,56)").is_two_sample


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("eval/train_eror_pct(plain,56)", "eval/train_eror_pct"),
        ("test/error_pct(plian,56)", "plian"),
        ("test/error_pct(plain,55)", "55"),
        ("iterations_to[parameters <= 20](plain,56)", "parameters"),
        ("test/error_pct(plain,56) - 6.97", "constant"),
        ("test/error_pct(plain,56) - test/error_pct(plain,56)", "test/error_pct"),
        ("test/error_pct(plain,56) * test/error_pct(plain,18)", "test/error_pct"),
        ("1 / test/error_pct(plain,56)", "1 /"),
        ("test/error_pct(plain,56) / 0", "/ 0"),
        ("test/error_pct(plain,56) ** 2", "** 2"),
        ("__import__('os').system('true')", "__import__"),
        ("t_0", "t_0"),
        ("2if test/error_pct(plain,56) else 1", "2if"),
        ("test/error_pct(plain,56) +", "+"),
        ("", "''"),
        ("9" * 400 + "*test/error_pct(plain,56)", "999*test"),
        ("1e999*test/error_pct(plain,56)", "1e999"),
        ("1e308*1e308*test/error_pct(plain,56)", "1e308"),
        (f"test/error_pct(plain,{'2' * 400})", "2222"),
        ("(" * 400 + "test/error_pct(plain,56)" + ")" * 400, "((("),
        ("test/error_pct(plain,56)" + "+test/error_pct(plain,18)" * 40, "..."),
    ],
)
def test_everything_else_is_refused_in_one_line(text: str, found: str) -> None:
    with pytest.raises(EstimandError) as error:
        parse(text)
    assert found in str(error.value)
    assert (
        "accepted" in str(error.value)
        or "must be" in str(error.value)
        or "is not" in str(error.value)
        or "is longer" in str(error.value)
    )
    assert "\n" not in str(error.value)
