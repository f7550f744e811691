"""What it costs that nothing is lost: the checkpoints of a run, and to continue one."""

import tempfile
from functools import partial
from pathlib import Path

import torch

from degradation import checkpoint
from degradation.begin import fresh_state
from degradation.benchmark.probes import quick, seconds
from degradation.benchmark.results import Part, spread
from degradation.benchmark.startup import first_line_s, run_command
from degradation.data.batches import Data, prepare, train_batches
from degradation.data.images import load_images
from degradation.step import EagerStep

DEPTHS = (18, 110)
ROUNDS = 7
STARTS = 5
SHARE_PCT = 1.0
RESUME_S = 2.0


def measure(root: str | None) -> Part:
    """Percent of the time of `trainer.checkpoint_every` steps, preset quick, one thread as in a
    pool; and seconds from the command to the first step of a run that is continued, less those of
    one that begins.

    root: a folder to fill the cache from, if it is empty. Raises DataError.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = prepare(load_images("cifar10", root), quick(18).data, torch.device("cpu"))
        shares = {f"residual-{depth}/checkpoint": share_pct(depth, data) for depth in DEPTHS}
    finally:
        torch.set_num_threads(threads)
    part = {name: spread(share, "%", at_most=SHARE_PCT) for name, share in shares.items()}
    return part | {"resume": spread(resume_s(), "s", at_most=RESUME_S)}


def share_pct(depth: int, data: Data) -> list[float]:
    """Round by round, beside a step of the same moment; fsync and renaming included."""
    cfg = quick(depth)
    state = fresh_state(cfg, torch.device("cpu"))
    model, optimizer = state.model, state.optimizer
    step = EagerStep(model, optimizer, cfg.trainer.precision)
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, checkpoint.CHECKPOINT)
        save = partial(checkpoint.save, path, model, optimizer, state.progress(), "a hash")
        batches = train_batches(data, cfg.seed, 0, ROUNDS + 1, cfg.trainer.batch_size)
        for number, batch in enumerate(batches):
            step_s = seconds(partial(step, *batch, cfg.optim.lr))
            save_s = seconds(save)
            if number:  # the first round warms up
                shares.append(100 * save_s / (cfg.trainer.checkpoint_every * step_s))
    return shares


def resume_s() -> list[float]:
    """In pairs: a run that begins and is interrupted at its first step, and the same continued."""
    command, extra = run_command("off"), []
    for number in range(STARTS + 1):  # the first one warms the disk's cache
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            begun, continued = (first_line_s(command, folder) for _ in range(2))
            assert list(Path(folder).glob(f"outputs/*/*/runs/*/{checkpoint.CHECKPOINT}"))
        if number:
            extra.append(continued - begun)
    return extra
