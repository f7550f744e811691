"""Probes on a run that has been trained: its checkpoint is measured, the numbers kept beside it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from degradation import checkpoint, config, records, train
from degradation.records import RecordError, Row

PROBED = "probes.json"


def probe_run(run_dir: Path, names: Sequence[str], data_root: str | None) -> Row:
    """Entries `probe/...` of the run's checkpoint, written to `probes.json` in its directory too.

    names: none for all that can measure the run's net. Raises ConfigError, RecordError,
    CheckpointError or DataError, with a message for the user.
    """
    found = records.read_config(run_dir)
    if found is None:
        raise RecordError(f"{run_dir}: no {records.CONFIG}, so this is not a run directory")
    path = run_dir / checkpoint.CHECKPOINT
    if not path.exists():
        raise RecordError(f"{path}: missing; committed records have none, train the run first")
    cfg = config.from_dict(found)
    cfg.trainer.probes = list(names or config.probes_of(cfg.model.net))
    cfg.data.root = data_root
    config.check(cfg)
    device = torch.device("cpu")
    state = train.fresh_state(cfg, device)
    iteration = checkpoint.load(path, state.model, state.optimizer, config.config_hash(cfg))
    row: Row = {"iteration": iteration}
    for probe in train.build_probes(cfg, train.load_data(cfg.data, device)):
        row |= probe(state.model)
    records.write_json(run_dir / PROBED, row)
    return row
