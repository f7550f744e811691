"""How long a sweep takes on this machine: a few steps timed, the rest computed."""

import heapq
import math
import statistics
import time
from collections.abc import Iterable, Sequence

import joblib
import torch

from degradation import environment, growth
from degradation.begin import fresh_state
from degradation.config import DATA_SETS, VAL_IMAGES, Config, image_shape, train_images
from degradation.nets import count_multiply_adds
from degradation.step import build_step

STEPS, ENOUGH_S = 20, 2.0
"""Steps timed after one to warm up; as few as one where they take long."""
SWEEP_S, RUN_S = 7.0, 1.0
"""What a sweep takes besides its runs, and a run besides its steps and evaluations: on two cores,
with W&B offline, 4 and 12 runs of two steps took 10 and 13 s.
"""


def workers(device: torch.device) -> int:
    """Runs side by side: the process pool has one a core, and two that share a physical core get on
    like one. A GPU's fleet counts as one after the other, which errs on the long side.
    """
    return int(joblib.cpu_count(only_physical_cores=True)) if device.type == "cpu" else 1


def sweep_s(runs: Sequence[Config]) -> float:
    """Estimated seconds for runs of one scale, in the order in which they are started; probes are
    not counted.

    A step costs a part that grows with the multiply-adds and one that does not, found from two
    depths; an image evaluated costs a third of one trained on (forward without backward).
    """
    device = environment.set_up(runs[0].hardware, runs[0].trainer)
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(max(1, threads // workers(device)))
    try:
        step_s = _fit([phase for run in runs for phase in phases(run)], device)
    finally:
        torch.set_num_threads(threads)
    durations_s = (
        RUN_S + sum(run_s(phase, step_s[phase.model.depth]) for phase in phases(run))
        for run in runs
    )
    return SWEEP_S + side_by_side_s(durations_s, workers(device))


def phases(cfg: Config) -> list[Config]:
    """What a run trains: its net, and before it the shallower one that it grows from."""
    return [growth.shallow(cfg), cfg] if cfg.model.grown_from else [cfg]


def side_by_side_s(durations_s: Iterable[float], workers: int) -> float:
    """Until the last run ends, if each worker takes the next one in line when it is free."""
    ends = [0.0] * workers
    for duration_s in durations_s:
        heapq.heapreplace(ends, ends[0] + duration_s)
    return max(ends)


def run_s(cfg: Config, step_s: float) -> float:
    """Seconds of one training from those of one step."""
    image_s = step_s / cfg.trainer.batch_size / 3
    return cfg.schedule.iterations * step_s + images_evaluated(cfg) * image_s


def images_evaluated(cfg: Config) -> int:
    train = cfg.data.train_images or train_images(cfg.data)
    test = VAL_IMAGES if cfg.data.split == "val" else DATA_SETS[cfg.data.name].test_images
    curve = min(cfg.trainer.curve_train_images, train) + (cfg.trainer.curve_test_images or test)
    curves, wholes = (
        _times(cfg, every) for every in (cfg.trainer.eval_every, cfg.trainer.full_eval_every)
    )
    return curves * curve + wholes * (train + test)


def _times(cfg: Config, every: int) -> int:
    return math.ceil(cfg.schedule.iterations / every) if every else 1


def _fit(runs: Sequence[Config], device: torch.device) -> dict[int, float]:
    """Depth -> seconds a step."""
    by_depth = {run.model.depth: run for run in runs}
    depths = sorted(by_depth)
    shallow, deep = depths[0], depths[len(depths) // 2]  # the deepest would take too long to time
    cost = {
        depth: count_multiply_adds(run.model, image_shape(run.data))
        for depth, run in by_depth.items()
    }
    timed = {depth: time_step_s(by_depth[depth], device) for depth in {shallow, deep}}
    if shallow == deep:
        return timed
    slope = max(0.0, (timed[deep] - timed[shallow]) / (cost[deep] - cost[shallow]))
    return {depth: timed[shallow] + slope * (cost[depth] - cost[shallow]) for depth in depths}


def time_step_s(cfg: Config, device: torch.device) -> float:
    """The median of a few steps on random images."""
    state = fresh_state(cfg, device)
    step = build_step(state.model, state.optimizer, cfg.trainer.precision, cfg.hardware)
    batch = cfg.trainer.batch_size
    images = torch.randn(batch, *image_shape(cfg.data), device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,), device=device)
    times: list[float] = []
    while len(times) < 2 or (len(times) <= STEPS and sum(times) < ENOUGH_S):
        start = time.perf_counter()
        step(images, labels, cfg.optim.lr)
        step.read()  # synchronises
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
