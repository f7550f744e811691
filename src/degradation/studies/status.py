"""How a study stands, from another terminal while it is at work, or afterwards."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from degradation import records
from degradation.config import Config
from degradation.studies import listing, lookup
from degradation.watch import live, plans, table
from degradation.watch.progress import Planned, Sweep


def status(experiment: str, preset: str, seeds: str, overrides: Sequence[str] = ()) -> None:
    """Prints the study's table; on a terminal until the study has ended, or Ctrl-C.

    seeds: empty for the experiment's, and whichever others have been begun. Raises what
    `cli.one_line` can put into a line.
    """
    study, runs = study_of(experiment, preset, seeds, overrides)
    print(f"{experiment}, preset {preset}, in {study}")
    if not runs:
        print("no runs")
        return
    sweep, console = Sweep(study, runs), Console()
    if not console.is_interactive:
        print(table.text(sweep.look(), sweep.workers))
        return
    try:
        live.watch(sweep, lambda: not all(run.has_ended for run in sweep.look()), console)
    except KeyboardInterrupt:  # the way to leave it
        print()


def study_of(
    experiment: str, preset: str, seeds: str, overrides: Sequence[str] = ()
) -> tuple[Path, list[Planned]]:
    """Where it lies, and its runs: of multiruns that are at work theirs, else those planned, and
    whichever others have been begun; with `seeds` only those planned, without a study those begun.
    """
    chosen = lookup.seed_axis(seeds)
    study, runs = lookup.study_of(experiment, preset, [*chosen, *overrides])
    if chosen and experiment != lookup.ADHOC:
        return study, listing.planned(runs)
    ends = tuple(f"-s{seed}" for axis in chosen for seed in axis.removeprefix("seed=").split(","))
    begun = {path.name for path in records.run_dirs(study) if path.name.endswith(ends or "")}
    at_work = [one for one in plans.at_work(study) if one.name.endswith(ends or "")]
    shown = {one.name for one in at_work}
    if at_work:
        runs = {name: run for name, run in runs.items() if name in begun - shown}
    others = begun - runs.keys() - shown
    found = {name: _made_as(study / "runs" / name) for name in sorted(others)}
    readable = {name: cfg for name, cfg in found.items() if cfg}
    damaged = [Planned(name, 1, 1.0, is_damaged=True) for name in found if name not in readable]
    return study, [*at_work, *listing.planned(runs | readable), *damaged]


def _made_as(run_dir: Path) -> Config | None:
    """None where the config cannot be read."""
    try:
        return lookup.config_of(run_dir)
    except ValueError:
        return None
