"""A checkout with a study of four runs of a second each, for tests of the commands at the top."""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPERIMENT = """# @package _global_
defaults:
  - override /data: {data}
experiment: {name}
model: {{depth: 8, width: 4}}
data: {{pixels: 8, train_images: 256}}
schedule: {{iterations: {iterations}, milestones: [], warmup_iterations: 4}}
trainer: {{batch_size: 32, record_every: 5, eval_every: 10, checkpoint_every: 10}}
tracking: {{mode: "off"}}
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      model.kind: plain,residual
      seed: 0,1
"""
CLAIMS = """
experiment: {name}
data: {data}
level: 0.025
expected:
  quick:
    eval/train_error_pct: {{plain-8: [80, 3], residual-8: [70, 3]}}
claims:
  - id: residual-beats-plain
    sentence: A residual net of 8 layers has the lower training error.
    source: none
    paper: ""
    presets: [quick]
    type: superiority
    estimand: eval/train_error_pct(plain,8) - eval/train_error_pct(residual,8)
    margin: {{quick: 0}}
    power: {{quick: {{2: 0.5}}}}
  - id: equal-parameters
    sentence: Plain and residual nets have the same number of parameters.
    source: none
    paper: the same
    presets: [quick]
    type: exact
    estimand: parameters(plain,8) - parameters(residual,8)
    value: 0
"""


def make_checkout(folder: Path, iterations: int = 10) -> Path:
    """Studies `small` on CIFAR-10 and `small_shapes`, `make` and a `.venv` that is this Python."""
    for name in ("src", "scripts", "Makefile", "requirements.lock", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name, data in (("small", "cifar10"), ("small_shapes", "shapes")):
        text = EXPERIMENT.format(name=name, data=data, iterations=iterations)
        (folder / "conf" / "experiment" / f"{name}.yaml").write_text(text)
        (folder / "experiments" / name).mkdir(parents=True)
        claims = CLAIMS.format(name=name, data=data)
        (folder / "experiments" / name / "claims.yaml").write_text(claims)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for made in (".locked", ".ready"):
        (python.parent / made).touch()
    return folder


def environment(checkout: Path, **extra: str) -> dict[str, str]:
    """The checkout's own code, no cached data, and a network on which nothing answers."""
    ours = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    for name in ("PRESET", "SEEDS", "DATA_ROOT", "EXPERIMENT", "MAKEFLAGS", "MAKELEVEL"):
        ours.pop(name, None)
    nothing = "http://127.0.0.1:9"
    return ours | {
        "PYTHONPATH": str(checkout / "src"),
        "DEGRADATION_CACHE": str(checkout / "cache"),
        "http_proxy": nothing,
        "https_proxy": nothing,
        "HYDRA_FULL_ERROR": "0",
        "DEGRADATION_FULL_ERROR": "0",
        **extra,
    }
