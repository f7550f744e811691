"""`hydra/launcher=fleet`: all runs of a multirun side by side in this process, on one GPU.

Hydra imports this at every start, so what is slow to import comes later.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class FleetLauncher(Launcher):
    """side_by_side: runs at a time, 0 for all; fewer where the GPU's memory is small."""

    def __init__(self, side_by_side: int = 0):
        self.side_by_side = side_by_side

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from degradation import begin, cli, command, environment, fleet
        from degradation.config import HardwareConfig
        from degradation.train import Turns

        setup_globals()
        environment.select_device(HardwareConfig(self.config.hardware.device))
        load = fleet.sharing(begin.load_data)

        def begin_later(composed: DictConfig) -> Callable[[], Turns]:
            return partial(command.composed_in_turns, composed, _task_overrides(), load)

        jobs = [
            self._composed(overrides, number, begin_later)
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        ]
        statuses = fleet.drive([job.return_value for job in jobs], self.side_by_side)
        for job, status in zip(jobs, statuses, strict=True):
            job.return_value = cli.RunFailed(status) if status else None
            job.status = JobStatus.FAILED if status else JobStatus.COMPLETED
        return jobs

    def _composed(
        self, overrides: Sequence[str], number: int, task: Callable[[DictConfig], Any]
    ) -> JobReturn:
        """What `task` makes of one run's config, within Hydra's account of that run."""
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        return run_job(
            hydra_context=self.hydra_context,
            task_function=task,
            config=composed,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _task_overrides() -> list[str]:
    return list(HydraConfig.get().overrides.task)
