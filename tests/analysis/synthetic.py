"""Studies as a trainer would record them, with curves and final errors of our choosing."""

import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from degradation.analysis import pages, verdict_file
from degradation.analysis.claims import of_study
from degradation.analysis.judge import judge
from degradation.analysis.page import summary
from degradation.analysis.sources import read_records
from degradation.records import DIVERGED, FINISHED, Writer, write_json

FINAL_PCT = {  # clean training error, after a trial of the preset `quick`
    **{("plain", 18): 56.0, ("plain", 34): 68.0, ("plain", 56): 82.0, ("plain", 110): 89.0},
    **{("residual", 18): 47.0, ("residual", 34): 49.0, ("residual", 56): 49.0},
    ("residual", 110): 55.0,
}
ITERATIONS = 600


def config(kind: str, depth: int, seed: int, **changes: Any) -> dict[str, Any]:
    """The part of a run's config that the analysis reads; `changes` replace whole sections."""
    return {
        "model": {"kind": kind, "depth": depth, "width": 8},
        "data": {"name": "cifar10"},
        "schedule": {"iterations": ITERATIONS, "milestones": [420]},
        "trainer": {"precision": "fp32"},
        "seed": seed,
        "experiment": "depth_sweep",
        "preset": "quick",
        **changes,
    }


def write_run(
    study: Path, kind: str, depth: int, seed: int, final_pct: float | None, **changes: Any
) -> Path:
    """One run; `final_pct` None for a run that diverged."""
    name = f"{kind}-{depth}-s{seed}"
    made = config(kind, depth, seed, **changes)
    environment = {
        "git_commit": "0" * 40,
        "git_dirty": False,
        "python": "3.11.7",
        "packages": {"torch": "2.11.0"},
        "device": "a processor",
    }
    writer = Writer(study / "runs" / name, made, environment)
    noise = random.Random(name)
    last: dict[str, float] = {}
    for iteration in range(25, ITERATIONS + 1, 25):
        if final_pct is None and iteration > ITERATIONS // 2:
            break
        goal = 90.0 if final_pct is None else final_pct
        error = goal + (90 - goal) * (1 - iteration / ITERATIONS) ** 2
        last = {"train/loss": 1.0, "train/error_pct": error + noise.gauss(0, 1.0)}
        if iteration % 100 == 0:
            last |= {
                "eval/train_subset_error_pct": error,
                "test/subset_error_pct": error + 1.5 + noise.gauss(0, 0.3),
            }
        if iteration == ITERATIONS:
            last |= {"eval/train_error_pct": error, "test/error_pct": min(90.0, error + 1.5)}
        writer.write({"iteration": iteration, "wall_s": iteration / 10, **last})
    diverged = final_pct is None
    writer.finish(
        {
            "run": name,
            "status": DIVERGED if diverged else FINISHED,
            "last": {} if diverged else last,
            "parameters": 1000 * depth,
            "multiply_adds": 200_000 * depth,
            "wall_s": 60.0,
        }
    )
    writer.close()
    return study / "runs" / name


def write_study(
    study: Path,
    seeds: int = 3,
    final_pct: Mapping[tuple[str, int], float] = FINAL_PCT,
    spread_pct: float = 2.0,
    **changes: Any,
) -> Path:
    """All arms, `seeds` runs each, normal around `final_pct`; the same at every call."""
    for (kind, depth), mean in final_pct.items():
        for seed in range(seeds):
            noise = random.Random(f"{kind}-{depth}-{seed}").gauss(0, spread_pct)
            write_run(study, kind, depth, seed, min(90.0, max(0.0, mean + noise)), **changes)
    return study


def write_judged(study: Path, repository: Path) -> Path:
    """Verdict and page as a report writes them, without its figures, which take long; the page."""
    found = read_records(study)
    assert found.experiment
    assert found.preset
    claims = of_study(found.experiment, found.data or "", repository)
    verdicts = judge(claims, found.preset, found)
    lines = [asdict(line) for line in summary.lines(found, claims, verdicts) if line.kind]
    content = verdict_file.content_of(claims, found.preset, found, verdicts, found=lines)
    write_json(study / "verdict.json", content)
    return pages.write_page(study, repository)
