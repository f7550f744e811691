"""The committed verdicts are what the committed records and claims give."""

import json
from pathlib import Path

import pytest

from degradation.analysis import claims, sources
from degradation.analysis.judge import judge
from degradation.analysis.page.summary import judges_errors
from degradation.analysis.verdict_file import content_of

ROOT = Path(__file__).parents[2]
STUDIES = [
    path.parent
    for path in sorted((ROOT / "results").glob("*/*/verdict.json"))
    if (path.parent / "runs").is_dir()
]


@pytest.mark.parametrize("study_dir", STUDIES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_committed_verdict_is_the_judges_of_the_committed_records(study_dir: Path) -> None:
    study = sources.read(study_dir)
    assert study.experiment
    assert study.data
    assert study.preset
    made_for = claims.of_study(study.experiment, study.data, ROOT)
    content = content_of(made_for, study.preset, study, judge(made_for, study.preset, study))
    committed = json.loads(
        (study_dir / "verdict.json").read_text(),
        parse_float=lambda text: pytest.approx(float(text), rel=1e-9),
    )
    assert committed["claims"]
    assert json.loads(json.dumps(content["claims"])) == committed["claims"]


def test_a_study_opens_with_depth_only_where_a_claim_is_of_unchanged_arms_alone() -> None:
    opens = {
        name: judges_errors(claims.load(claims.claims_path(name, ROOT)), "quick")
        for name in ("depth_sweep", "first_falls", "blocks", "more_iterations", "gradient_flow")
    }
    assert opens == {
        "depth_sweep": True, "first_falls": True,
        "blocks": False, "more_iterations": False, "gradient_flow": False,
    }  # fmt: skip
