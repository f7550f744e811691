"""`make rates`: the published runs of lr_choice in, the table of conf/ and lr_fair's plan out."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.analysis.synthetic import FINAL_PCT, config, write_run

ROOT = Path(__file__).parents[2]


def call(script: str, *arguments: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *arguments],
        cwd=checkout,
        env={"PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def make_checkout(folder: Path) -> Path:
    """Code, conf/ and claims, and every arm with one seed at two rates, of which 0.1 is better."""
    for name in ("src", "conf", "experiments"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    runs = folder / "results" / "lr_choice" / "quick" / "runs"
    runs.mkdir(parents=True)
    for (kind, depth), error in FINAL_PCT.items():
        for lr, more in ((0.03, 2.0), (0.1, 0.0)):
            data = {**config(kind, depth, 100)["data"], "split": "val"}
            made = write_run(
                folder / "made", kind, depth, 100, min(90.0, error + more),
                data=data, optim={"lr": lr}, experiment="lr_choice",
            )  # fmt: skip
            made.rename(runs / f"{kind}-{depth}{'' if lr == 0.03 else '-lr0.1'}-s100")
    return folder


def test_the_choice_makes_lr_fair_runnable(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    table = checkout / "conf" / "chosen_lr.yaml"
    head = "".join(line for line in table.read_text().splitlines(True) if line.startswith("#"))
    table.write_text(head)
    fair = ("--experiment=lr_fair", "--preset=quick")
    before = call("missing.py", *fair, checkout=checkout)
    assert before.returncode == 2
    assert before.stderr.startswith("error: optim.lr: ")
    done = call("rates.py", checkout=checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert table.read_text().startswith(head)
    assert "  plain-56       0.1\n" in done.stdout
    assert "  plain-110      0.03\n" in done.stdout  # 90 % at either: the lower one
    after = call("missing.py", *fair, checkout=checkout)
    assert (after.returncode, after.stderr) == (0, "")
    assert "40 runs, 40 not in results/lr_fair/quick" in after.stdout


def test_without_published_runs_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "src").symlink_to(ROOT / "src")
    done = call("rates.py", checkout=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: results/lr_choice/quick: accepted: a folder")
