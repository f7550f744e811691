"""`scripts/check_claims.py` on our records and on somebody's CSV."""

import json
import subprocess
import sys
from pathlib import Path

from tests.analysis.synthetic import write_study

ROOT = Path(__file__).parents[2]


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "check_claims.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def answers(text: str) -> dict[str, list[str]]:
    """Claim -> answer, estimate and interval, from the printed table."""
    lines = [line.split() for line in text.split("\n\n")[1].splitlines()[2:]]
    return {line[0]: line[1:5] for line in lines}


def as_csv(study: Path) -> str:
    lines = ["kind,depth,seed,iteration,train_error_pct,test_error_pct"]
    for path in sorted(study.glob("runs/*/metrics.jsonl")):
        kind, depth, seed = path.parent.name.replace("-s", "-").split("-")
        for row in map(json.loads, path.read_text().splitlines()):
            train, test = row.get("eval/train_error_pct", ""), row.get("test/error_pct", "")
            lines.append(f"{kind},{depth},{seed},{row['iteration']},{train},{test}")
    return "\n".join(lines) + "\n"


def test_records_and_the_same_curves_as_csv_get_the_same_answers(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", seeds=2)
    ours = check(study)
    assert (ours.returncode, ours.stderr) == (0, "")
    assert len(answers(ours.stdout)) == 9
    path = tmp_path / "curves.csv"
    path.write_text(as_csv(study))
    theirs = check(path, "--preset", "quick")
    assert theirs.returncode == 0
    judged = {k: v for k, v in answers(theirs.stdout).items() if not k.startswith("equal-")}
    assert judged == {name: answers(ours.stdout)[name] for name in judged}
    assert len(judged) == 7
    assert theirs.stdout.count("NOT JUDGED") == 3  # two claims and the explanation
    assert "taken to be these" in theirs.stdout


def test_unusable_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("depth,error\n18,5\n")
    for arguments, words in (
        ([path], "columns depth, error; accepted: kind, depth, seed, iteration"),
        ([tmp_path], "no runs here"),
        ([path, "--experiment", "nothing"], "columns"),
    ):
        done = check(*arguments)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert words in done.stderr
