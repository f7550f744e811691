"""What a probe costs a run that records it at the default cadence."""

import time
from collections.abc import Callable
from functools import partial

import hydra
import torch

from degradation import cli, config
from degradation.begin import build_probes, fresh_state
from degradation.benchmark.results import Part, spread
from degradation.config import Config, probes_of
from degradation.data.batches import Data, prepare, train_batches
from degradation.data.images import load_images
from degradation.step import EagerStep

DEPTHS = (18, 110)
ROUNDS = 7
SHARE_PCT = 5.0
DURING = tuple(name for name in probes_of("resnet") if name != "lesion")
"""Probes for a run that trains; `lesion` is dozens of passes, for its end."""


def measure(root: str | None) -> Part:
    """Percent of the time of `trainer.probe_every` steps, preset quick, one thread as in a pool.

    root: a folder to fill the cache from, if it is empty. Raises DataError.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = prepare(load_images("cifar10", root), quick(18).data, torch.device("cpu"))
        return {
            f"residual-{depth}/{name}": spread(share, "%", at_most=SHARE_PCT)
            for depth in DEPTHS
            for name, share in shares_pct(quick(depth), data).items()
        }
    finally:
        torch.set_num_threads(threads)


def shares_pct(cfg: Config, data: Data) -> dict[str, list[float]]:
    """Of each probe, round by round, beside a step of the same moment."""
    state = fresh_state(cfg, torch.device("cpu"))
    step = EagerStep(state.model, state.optimizer, cfg.trainer.precision)
    measures = dict(zip(cfg.trainer.probes, build_probes(cfg, data), strict=True))
    shares: dict[str, list[float]] = {name: [] for name in measures}
    batches = train_batches(data, cfg.seed, 0, ROUNDS + 1, cfg.trainer.batch_size)
    for number, batch in enumerate(batches):
        step_s = seconds(partial(step, *batch, cfg.optim.lr))
        for name, probe in measures.items():
            probe_s = seconds(partial(probe, state.model))
            if number:  # the first round warms up
                shares[name].append(100 * probe_s / (cfg.trainer.probe_every * step_s))
    return shares


def quick(depth: int) -> Config:
    overrides = [f"model.depth={depth}", f"trainer.probes=[{','.join(DURING)}]"]
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        return config.from_dict(hydra.compose("config", ["preset=quick", *overrides]))


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
