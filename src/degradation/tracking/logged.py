"""What there is of a study to be shown: as its runs have been made, or where there are none as they
are planned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from degradation import config, measured, records
from degradation.config import KINDS, Config, ConfigError
from degradation.studies import lookup

ORDER = ("train", "test", "running")


@dataclass(frozen=True)
class Study:
    """What the panels have to know."""

    experiment: str
    preset: str
    project: str
    entity: str
    measures: list[str]
    """`error_pct`, and `loss` where nets copy their input."""
    curves: list[str]
    """As W&B has them, without the kind: `train_error_pct`."""
    arms: list[tuple[str, int, str]]
    """Kind, depth and name."""
    probes: list[str]

    @property
    def title(self) -> str:
        return f"{self.experiment}, {self.preset}"

    @property
    def kinds(self) -> list[str]:
        found = {kind for kind, _, _ in self.arms}
        return [kind for kind in KINDS if kind in found]

    @property
    def has_variants(self) -> bool:
        """Whether arms differ in more than kind and depth."""
        return len(self.arms) > len({(kind, depth) for kind, depth, _ in self.arms})

    def filters(self) -> str:
        parts = {"experiment": self.experiment, "preset": self.preset}
        return " and ".join(f"Config('{key}') = '{value}'" for key, value in parts.items())


def study_of(
    experiment: str, preset: str, overrides: Sequence[str] = (), entity: str = ""
) -> Study:
    """Raises ConfigError, RecordError, and Hydra's errors for an unknown experiment or preset."""
    folder, planned = lookup.arms_of(experiment, preset, overrides)
    run_dirs = list(records.run_dirs(folder))
    runs = {path.name: lookup.config_of(path) for path in run_dirs} or planned
    if not runs:
        raise ConfigError(f"{folder}: no runs, and nothing is planned")
    cfgs = list(runs.values())
    settings = [config.to_dict(cfg) for cfg in cfgs]
    curves = {name for one in settings for name in measured.curves(one)}
    probes = {probe for cfg in cfgs for probe in cfg.trainer.probes} | _probed_by(run_dirs)
    return Study(
        experiment=experiment,
        preset=preset,
        project=cfgs[0].tracking.project,
        entity=cfgs[0].tracking.entity or entity,
        measures=sorted({measured.measure(one) for one in settings}),
        curves=sorted(curves, key=lambda name: (ORDER.index(name.partition("_")[0]), name)),
        arms=sorted({_arm(name, cfg) for name, cfg in runs.items()}),
        probes=sorted(probes),
    )


def _arm(name: str, cfg: Config) -> tuple[str, int, str]:
    return cfg.model.kind, cfg.model.depth, records.arm_of(name)


def _probed_by(run_dirs: Sequence[Path]) -> set[str]:
    """Some is measured without having been asked for, as that a grown net is the same function."""
    keys = {
        key for path in run_dirs for row in records.read_rows(path / records.METRICS) for key in row
    }
    return {key.split("/")[1] for key in keys if key.startswith("probe/")}
