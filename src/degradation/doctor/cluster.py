"""Slurm, where the study is to be handed to it: what is needed to hand over a job."""

import shutil
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import hydra

from degradation import cli
from degradation.doctor.page import OK, PROBLEM, Line
from degradation.doctor.plan import Asked

OVERRIDE = "hydra/launcher="
PLUGIN = "hydra_plugins.degradation_slurm."


def look(asked: Asked) -> Iterator[Line]:
    """Nothing where no launcher is named; of a cluster itself nothing is asked."""
    named = [override for override in asked.overrides if override.startswith(OVERRIDE)]
    if not named:
        return
    try:
        target = _launcher(named[-1])._target_
    except Exception as error:
        yield Line(PROBLEM, "launcher", cli.one_line(error))
        return
    if target.startswith(PLUGIN):
        yield from (command(named[-1]), submitit(named[-1]))


def _launcher(override: str) -> Any:
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        return hydra.compose("config", [override], return_hydra_config=True).hydra.launcher


def command(override: str) -> Line:
    if path := shutil.which("sbatch"):
        return Line(OK, "Slurm", path)
    advice = "a machine that can submit jobs, such as the cluster's login node"
    return Line(PROBLEM, "Slurm", f"no sbatch on the PATH, which {override} needs", advice)


def submitit(override: str) -> Line:
    if find_spec("submitit"):
        return Line(OK, "submitit", metadata.version("submitit"))
    found = f"not installed, which {override} needs"
    return Line(PROBLEM, "submitit", found, "pip install submitit")
