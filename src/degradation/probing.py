"""Probes on a run that has been trained: its checkpoint is measured, the numbers kept beside it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from degradation import begin, checkpoint, config, records
from degradation.config import Config
from degradation.loop import State
from degradation.records import RecordError, Row

PROBED = "probes.json"


def trained(run_dir: Path) -> tuple[Config, State]:
    """A run's config and its net as the checkpoint has it, on the CPU. Raises ConfigError,
    RecordError or CheckpointError, with a message for the user.
    """
    found = records.read_config(run_dir)
    if found is None:
        raise RecordError(f"{run_dir}: no {records.CONFIG}, so this is not a run directory")
    summary = records.read_summary(run_dir)
    if summary and summary["status"] == records.DIVERGED:
        at = f"diverged at iteration {summary['iteration']}"
        raise RecordError(f"{run_dir}: {at}; of its last net there is no checkpoint")
    cfg = config.from_dict(found)
    state = begin.fresh_state(cfg, torch.device("cpu"))
    made_by = config.config_hash(cfg)
    progress = checkpoint.load_newest(run_dir, state.model, state.optimizer, made_by)
    if progress is None:
        path = run_dir / checkpoint.CHECKPOINT
        raise RecordError(f"{path}: missing; committed records have none, train the run first")
    state.continue_from(progress)
    return cfg, state


def probe_run(run_dir: Path, names: Sequence[str], data_root: str | None) -> Row:
    """Entries `probe/...` of the run's checkpoint, written to `probes.json` in its directory too.

    names: none for all that can measure the run's net. Raises ConfigError, RecordError,
    CheckpointError or DataError, with a message for the user.
    """
    cfg, state = trained(run_dir)
    model = cfg.model
    cfg.trainer.probes = list(names or config.probes_of(model.net, model.order, model.shortcut))
    cfg.trainer.probe_every = 0
    cfg.data.root = data_root
    config.check(cfg)
    row: Row = {"iteration": state.iteration}
    for probe in begin.build_probes(cfg, begin.load_data(cfg.data, torch.device("cpu"))):
        row |= probe(state.model)
    records.write_json(run_dir / PROBED, row)
    return row
