"""`hydra/launcher=slurm`: the runs of a multirun as jobs on a Slurm cluster, by submitit.

A job is a fleet of one run or more on one GPU. One that is preempted, or whose time is up, is
queued again under its number, and its runs go on from their checkpoints. Hydra imports this at
every start, so what is slow to import comes later.

Submitit hands jobs and their ends over as pickles, the only ones of this project that are opened
without a SHA-256; so they lie in a folder in which only this user can have put them.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.degradation_slurm.private import make_private

LOOK_S = 5.0
"""Seconds between two looks at Slurm's queue."""
TERMINATED = 128 + signal.SIGTERM

Overrides = Sequence[Sequence[str]]
"""Of each run."""


class SlurmLauncher(Launcher):
    """folder: for what the jobs print and for submitit's pickles; the compute nodes have to see it,
    and nobody else may write to it. runs_per_job: 0 for all
    runs in one job. max_num_timeout: how often a job whose time is up is queued again. sbatch: its
    options, as submitit's SlurmExecutor takes them.
    """

    def __init__(self, folder: str, runs_per_job: int, max_num_timeout: int, **sbatch: Any):
        self.folder, self.runs_per_job = folder, runs_per_job
        self.max_num_timeout, self.sbatch = max_num_timeout, sbatch

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Overrides, initial_job_idx: int) -> Sequence[JobReturn]:
        _check_whole("runs_per_job", self.runs_per_job, 0)
        # in minutes: Slurm says a minute early that they are nearly up, and the job must have begun
        _check_whole("time", self.sbatch["time"], self.sbatch["signal_delay_s"] // 60 + 2)
        size = self.runs_per_job or len(job_overrides)
        firsts = range(0, len(job_overrides), size)
        parts = [list(job_overrides[first : first + size]) for first in firsts]
        jobs = self._submit(parts, [initial_job_idx + first for first in firsts])
        number = jobs[0].job_id.partition("_")[0]
        print(
            f"Slurm job {number}: {len(job_overrides)} runs in {len(jobs)} jobs, logs in "
            f"{self.folder}/; they go on without this command, and `scancel {number}` ends them",
            flush=True,
        )
        _wait(jobs)
        return [run for job, part in zip(jobs, parts, strict=True) for run in _ended(job, part)]

    def _submit(self, parts: Sequence[Overrides], firsts: Sequence[int]) -> list[Any]:
        """Raises ConfigError for what the user or the cluster has to change."""
        from degradation.config import ConfigError

        try:
            import submitit
        except ImportError:
            raise ConfigError(
                "hydra/launcher: slurm needs submitit, which is not here; "
                "accepted after: pip install submitit"
            ) from None
        states = [Singleton.get_state()] * len(parts)
        try:
            make_private(submitit.core.utils.JobPaths.get_first_id_independent_folder(self.folder))
        except PermissionError as error:
            raise ConfigError(
                f"hydra.launcher.folder: {error}; whoever can write there could have the jobs do "
                "anything; accepted: a folder for you alone, such as ~/slurm, which will be made"
            ) from None
        try:
            executor = submitit.SlurmExecutor(self.folder, self.max_num_timeout)
            executor.update_parameters(**self.sbatch)
            return list(executor.map_array(self, parts, firsts, states))
        except (ValueError, RuntimeError) as error:  # submitit's, some with sbatch's own words
            told = " ".join(str(error).split())
            raise ConfigError(f"hydra/launcher: slurm took no job: {told}") from None

    def __call__(self, part: Overrides, first: int, state: Any) -> Sequence[JobReturn]:
        """The job."""
        from degradation import cli
        from hydra_plugins.degradation_fleet import FleetLauncher

        Singleton.set_state(state)
        fleet, ended = FleetLauncher(), list[JobReturn]()
        fleet.setup(
            hydra_context=self.hydra_context, task_function=lambda _: None, config=self.config
        )
        status = cli.guard(lambda: ended.extend(_until_stopped(lambda: fleet.launch(part, first))))
        return ended or [_failed(overrides, status) for overrides in part]

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit calls when the time is up: the same again, the rest lies on the disk."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, *arguments)


def _check_whole(key: str, value: object, least: int) -> None:
    from degradation.config import ConfigError

    if not isinstance(value, int) or value < least:
        raise ConfigError(f"hydra.launcher.{key}: {value!r}; accepted: whole numbers from {least}")


def _until_stopped(work: Callable[[], Sequence[JobReturn]]) -> Sequence[JobReturn]:
    """What work returns. Stopped by a signal it ends the job, which is queued again if it is
    Slurm's and not the user's wish.

    SIGUSR2 says that the time is nearly up. SIGTERM comes with `scancel` and where another job has
    taken the node, both seen to already; or, on partitions with a GraceTime, it says that a
    job will lose its node, and then Slurm takes one that ends by itself for done.
    """
    from degradation import stopping

    queue_again = signal.getsignal(signal.SIGUSR2)  # submitit's, which exits
    assert callable(queue_again)
    try:
        with stopping.obeyed():
            return work()
    except KeyboardInterrupt:
        pass
    if _state() in ("RUNNING", None):
        with contextlib.suppress(subprocess.CalledProcessError):  # it was queued a moment ago
            queue_again(signal.SIGUSR2, None)
    sys.exit(TERMINATED)


def _state() -> str | None:
    """Of this job. Asks again, since a signal to the job ends the one who asks too."""
    for _ in range(5):
        if state := _squeue("-j", os.environ["SLURM_JOB_ID"], "-o", "%T"):
            return state
        time.sleep(1)
    return None


def _squeue(*arguments: str) -> str | None:
    """None where Slurm does not answer."""
    done = subprocess.run(["squeue", "-h", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _wait(jobs: Sequence[Any]) -> None:
    """Until each has left its result, or two looks in a row did not find it in Slurm's queue."""
    gone = set[str]()
    while left := {job.job_id for job in jobs if not job.paths.result_pickle.exists()}:
        queue = _squeue("--me", "-r", "-o", "%i")
        gone, before = (left - set(queue.split()) if queue is not None else set()), gone
        if left == gone & before:
            return
        time.sleep(LOOK_S)


def _ended(job: Any, part: Overrides) -> Sequence[JobReturn]:
    """The end of a job's runs; what it said about those that failed is said again."""
    has_result = job.paths.result_pickle.exists() and job.exception() is None
    runs = job.result() if has_result else [_failed(overrides, 1) for overrides in part]
    if any(run.status == JobStatus.FAILED for run in runs):
        lines = list(dict.fromkeys((job.stderr() or "").splitlines()))
        told = [line for line in lines if line.startswith("error: ")] or lines[-5:]
        head = f"job {job.job_id} did not end well; {job.paths.stderr} says:"
        print(head, *told, sep="\n", file=sys.stderr)
    return runs


def _failed(overrides: Sequence[str], status: int) -> JobReturn:
    from degradation.cli import RunFailed

    return JobReturn(overrides, status=JobStatus.FAILED, _return_value=RunFailed(status))
