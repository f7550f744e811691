"""`conf/wandb_sweep.yaml`: what W&B's agents make of it is the Hydra multirun."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from hydra.types import RunMode
from tests.helpers import lines_of
from tests.small_study import environment, make_checkout
from tests.wandb_server import KEY, serving

from degradation import cli, config

SWEEP = Path(__file__).parents[2] / "conf" / "wandb_sweep.yaml"


def points(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """A grid's runs, as the server hands them to agents."""
    axes = [[(key, value) for value in axis["values"]] for key, axis in sweep["parameters"].items()]
    return [{key: {"value": value} for key, value in point} for point in product(*axes)]


def test_the_agents_commands_are_the_runs_of_the_multirun() -> None:
    from wandb.sdk.launch.sweeps import utils

    sweep = yaml.safe_load(SWEEP.read_text())
    assert (sweep["method"], sweep["program"]) == ("grid", "degradation")
    assert sweep["parameters"]["seed"]["values"] == [0, 1, 2]
    runs = []
    for point in points(sweep)[::3]:
        expanded = utils.create_sweep_command_args({"args": point})
        parts = [
            expanded[part[2:-1]] if part[:6] == "${args" else [part]
            for part in utils.create_sweep_command(list(sweep["command"]))
        ]
        environment, program, *overrides = [word for part in parts for word in part]
        assert (environment, program) == ("${env}", "${program}")
        with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
            runs.append(config.from_dict(hydra.compose("config", overrides)))
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        whole = hydra.compose("config", overrides, return_hydra_config=True)
    assert whole.hydra.mode == RunMode.RUN
    theirs = {name: config.config_hash(run) for name, run in cli.named(runs).items()}
    ours = cli.sweep("depth_sweep", "quick", ["seed=0"])
    assert len(ours) == 8
    assert theirs == {name: config.config_hash(run) for name, run in ours.items()}


@pytest.mark.slow
def test_a_real_agent_makes_the_runs_of_the_multirun(tmp_path: Path) -> None:
    folders = [tmp_path / "agent", tmp_path / "multirun"]
    for folder in folders:
        folder.mkdir()
        make_checkout(folder)
    program = folders[0] / ".venv" / "bin" / "degradation"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m degradation "$@"\n')
    program.chmod(0o755)
    text = SWEEP.read_text().replace("=depth_sweep", "=small_shapes")
    sweep = yaml.safe_load(text)
    sweep["command"].insert(-1, "tracking.mode=online")
    sweep["parameters"] = {"model.kind": {"values": ["plain", "residual"]}, "seed": {"values": [1]}}
    (folders[0] / "sweep.yaml").write_text(yaml.safe_dump(sweep))

    def run(checkout: Path, *command: str, **extra: str) -> str:
        path = f"{checkout}/.venv/bin{os.pathsep}{os.environ['PATH']}"
        given = environment(checkout, HOME=str(tmp_path), PATH=path, **extra)
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=checkout,
            env={name: value for name, value in given.items() if "proxy" not in name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    with serving() as server:
        account = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}
        said = run(folders[0], "wandb", "sweep", "sweep.yaml", **account)
        assert "wandb agent" in said
        server.commands = [
            {"type": "run", "run_id": f"agent{number}", "program": "degradation", "args": point}
            for number, point in enumerate(points(sweep))
        ]
        run(folders[0], "wandb", "agent", "--count", "2", "student/degradation/sweep1", **account)
        run(folders[1], "degradation", "+experiment=small_shapes", "seed=1")
        found = [sorted(folder.glob("outputs/*/*/runs/*")) for folder in folders]
        assert [run_dir.name for run_dir in found[0]] == ["plain-8-s1", "residual-8-s1"]
        for theirs, ours in zip(*found, strict=True):
            assert theirs.name == ours.name
            assert lines_of(theirs) == lines_of(ours) != []
        assert {name: said["displayName"] for name, said in server.runs.items()} == {
            "agent0": "plain-8-s1",
            "agent1": "residual-8-s1",
        }
        assert {said["sweep"] for said in server.runs.values()} == {"sweep1"}
        assert server.exits == {"agent0": 0, "agent1": 0}
