"""Reads the runs of a study from our records, or from anyone's CSV file.

CSV: columns `kind`, `depth`, `seed`, `iteration` and any of `train_error_pct` (clean training
error: eval mode, no augmentation), `test_error_pct`, `train_running_error_pct` (running,
augmented); errors in percent. An empty cell was not measured; `nan` or `inf` says that the run
diverged. The last value of each column counts as the run's result.
"""

import csv
import difflib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from degradation import records
from degradation.analysis.curves import Curve, RunCurves, Study, StudyError
from degradation.analysis.estimands import COUNTS, ERRORS, KINDS, PROBE
from degradation.identity import differences, flatten
from degradation.measured import LOSSES
from degradation.plain import is_number, shown

CSV_COLUMNS = {
    "train_error_pct": "eval/train_error_pct",
    "test_error_pct": "test/error_pct",
    "train_running_error_pct": "train/error_pct",
}
_CSV_KEYS = ("kind", "depth", "seed", "iteration")
_SETTINGS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("model.kind", "experiment", "preset", "data.name"), str),
    **dict.fromkeys(("trainer.precision", "model.net", "data.split"), str),
    "hardware.batch_norm_kernels": str,
    **dict.fromkeys(("model.depth", "seed", "schedule.iterations", "trainer.eval_every"), int),
    **dict.fromkeys(("trainer.curve_train_images", "trainer.curve_test_images"), int),
    "optim.lr": (int, float),
    "schedule.milestones": list,
}
"""What the analysis reads of a config, where it is there, and what it is then."""
PILOT_SEEDS = 100
"""Seeds from here on are for pilots, which choose thresholds and so judge none."""


def read(path: Path) -> Study:
    """A study folder, a folder of run directories or a CSV file. Raises StudyError or RecordError,
    naming the file.
    """
    if path.is_dir():
        return read_records(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        return read_csv(path)
    raise StudyError(f"{path}: accepted: a folder of run directories, or a CSV file")


def read_records(path: Path) -> Study:
    """Never pools runs of different presets, data sets, precisions or other settings; leaves out
    the seeds of pilots.
    """
    found = records.read_study(path) or [
        records.read_run(p.parent) for p in sorted(path.glob(f"*/{records.CONFIG}"))
    ]
    if not found:
        raise StudyError(
            f"{path}: no runs here; accepted: a folder with runs/<run>/{records.CONFIG} "
            f"or <run>/{records.CONFIG} in it"
        )
    runs = [_from_record(run, path) for run in found]
    runs = [run for run in runs if run.seed < PILOT_SEEDS] or runs
    # What its overrides change an arm is named for, and it is pooled with no other: it may differ.
    pooled = [run for run in runs if run.arm == f"{run.kind}-{run.depth}"] or runs
    identity = {
        key: _the_one(path, key, {str(_get(run.config, key, path, run.name)) for run in pooled})
        for key in ("experiment", "preset", "data.name", "trainer.precision")
    }
    _refuse_mixed_configs(path, runs)
    runs.sort(key=lambda run: (KINDS.index(run.kind), run.depth, run.arm, run.seed))
    return Study(
        path,
        runs,
        identity["experiment"],
        identity["preset"],
        identity["data.name"],
        identity["trainer.precision"],
    )


def _from_record(run: records.Run, path: Path) -> RunCurves:
    config = run.config
    _refuse_wrong_types(run, path)
    kind, depth, seed, iterations = (
        _get(config, key, path, run.name)
        for key in ("model.kind", "model.depth", "seed", "schedule.iterations")
    )
    is_named_so = run.arm == f"{kind}-{depth}" or run.arm.startswith(f"{kind}-{depth}-")
    if kind not in KINDS or not is_named_so or run.name != f"{run.arm}-s{seed}":
        raise StudyError(
            f"{path}: run directory {run.name} holds the config of {kind}-{depth}-s{seed}"
        )
    summary, numbers = run.summary or {}, _numbers(run, path)
    measured = dict.fromkeys(key for row in run.rows for key in row)
    wanted = [key for key in measured if key in (*ERRORS, *LOSSES) or key.startswith(PROBE)]
    curves = {key: Curve(*run.curve(key)) for key in wanted}
    last = {key: float(value) for key, value in numbers.items()}
    reached = int(run.rows[-1]["iteration"]) if run.rows else 0
    return RunCurves(
        run.name, run.arm, kind, depth, seed, run.status, iterations, last, curves, reached,
        summary.get("wall_s"), config, run.environment,
    )  # fmt: skip


def _refuse_wrong_types(run: records.Run, path: Path) -> None:
    where, settings = f"{path}: {run.name}/{records.CONFIG}", flatten(run.config)
    for section in {key.split(".")[0] for key in _SETTINGS if "." in key}:
        if not isinstance(run.config.get(section, {}), dict):
            raise StudyError(f"{where}: {section}: {run.config[section]!r}; accepted: a mapping")
    for key, kind in _SETTINGS.items():
        value = settings.get(key)
        if key in settings and (not isinstance(value, kind) or isinstance(value, bool)):
            names = " or ".join(t.__name__ for t in (kind if isinstance(kind, tuple) else (kind,)))
            raise StudyError(f"{where}: {key}: {value!r}; accepted: {names}")
    if not all(map(is_number, settings.get("schedule.milestones", ()))):
        raise StudyError(f"{where}: schedule.milestones: accepted: iterations")
    if not isinstance(run.environment.get("packages", {}), dict):
        raise StudyError(f"{path}: {run.name}/{records.ENVIRONMENT}: packages: accepted: a mapping")


def _numbers(run: records.Run, path: Path) -> dict[str, float]:
    """What the summary counts and measured last."""
    summary = run.summary or {}
    last = summary.get("last", {})
    numbers = {key: summary[key] for key in (*COUNTS, "wall_s") if summary.get(key) is not None}
    numbers |= last if isinstance(last, dict) else {"last": last}
    for key, value in numbers.items():
        if not is_number(value):
            where = f"{path}: {run.name}/{records.SUMMARY}"
            raise StudyError(f"{where}: {key}: {value!r}; accepted: a number")
    return {key: value for key, value in numbers.items() if key != "wall_s"}


def _get(config: dict[str, Any], key: str, path: Path, run_name: str) -> Any:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise StudyError(f"{path}: {run_name}/{records.CONFIG}: key {key} is missing")
        value = value[part]
    return value


def _the_one(path: Path, key: str, values: set[str]) -> str:
    if len(values) > 1:
        found = ", ".join(" ".join(value.split()) for value in sorted(values))
        raise StudyError(f"{path}: runs of different {key} are never pooled; found {found}")
    return values.pop()


def _refuse_mixed_configs(path: Path, runs: Iterable[RunCurves]) -> None:
    """The runs of an arm differ by the seed alone; how arms may differ the claims say (`judge`)."""
    first: dict[str, RunCurves] = {}
    for run in runs:
        other = first.setdefault(run.arm, run)
        if keys := differences(other.config, run.config, ("seed",)):
            raise StudyError(
                f"{path}: {other.name} and {run.name} are never pooled, their configs differ: "
                + "; ".join(keys)
            )


def refuse_unequal_arms(study: Study, by_arm: Sequence[str]) -> None:
    """Arms without overrides differ by kind and depth, and in the settings `by_arm`; StudyError."""
    runs = [run for run in study.runs if not run.overrides]
    for run in runs[1:]:
        aside = ("seed", "model.kind", "model.depth", *by_arm)
        if keys := differences(runs[0].config, run.config, aside):
            raise StudyError(
                f"{study.source}: {runs[0].name} and {run.name} are not compared, their configs "
                f"differ: {'; '.join(keys)}"
            )


def read_csv(path: Path) -> Study:
    """Anyone's curves: data set and preset are the caller's word. All runs must be of one length,
    diverged ones aside.
    """
    try:
        points = _points(path)
    except csv.Error as error:
        raise StudyError(f"{path}: not CSV: {error}") from None
    if not points:
        raise StudyError(f"{path}: no line below the heading")
    found = [e for rows in points.values() for row in rows.values() for e in row.values()]
    if max((e for e in found if math.isfinite(e)), default=100.0) <= 1:
        raise StudyError(f"{path}: no error above 1; accepted: percent, 0 to 100, not fractions")
    length = max(iteration for rows in points.values() for iteration in rows)
    return Study(path, [_from_csv(path, run, rows, length) for run, rows in sorted(points.items())])


def _points(path: Path) -> Mapping[tuple[str, int, int], dict[int, dict[str, float]]]:
    """Errors by run, then by iteration."""
    points: defaultdict[tuple[str, int, int], dict[int, dict[str, float]]] = defaultdict(dict)
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        columns = tuple(reader.fieldnames or ())
        if not set(_CSV_KEYS) <= set(columns) or not set(columns) & set(CSV_COLUMNS):
            accepted = f"{', '.join(_CSV_KEYS)} and any of {', '.join(CSV_COLUMNS)}"
            raise StudyError(
                f"{path}: columns {shown(', '.join(columns)) or 'none'}; accepted: {accepted}"
            )
        _refuse_misspelt(path, columns)
        for number, row in enumerate(reader, 2):
            run, iteration, errors = _csv_row(row, f"{path}: line {number}")
            if iteration in points[run]:
                raise StudyError(
                    f"{path}: line {number}: iteration {iteration} of "
                    f"{run[0]}-{run[1]} seed {run[2]} for the second time"
                )
            points[run][iteration] = errors
    return points


def _refuse_misspelt(path: Path, columns: Sequence[str]) -> None:
    """Other columns are no harm, but nearly the name of a missing one would be passed over."""
    for name, column in ((n, c) for n in CSV_COLUMNS if n not in columns for c in columns):
        if column not in CSV_COLUMNS and difflib.get_close_matches(column, [name], cutoff=0.75):
            raise StudyError(f"{path}: column {column!r}; accepted: {', '.join(CSV_COLUMNS)}")


def _csv_row(row: dict[str, str], where: str) -> tuple[tuple[str, int, int], int, dict[str, float]]:
    try:
        depth, seed, iteration = (int(row[key]) for key in _CSV_KEYS[1:])
        errors = {
            key: float(row[column])
            for column, key in CSV_COLUMNS.items()
            if (row.get(column) or "").strip()
        }
        if not all(map(is_number, (depth, seed, iteration))):
            raise ValueError("beyond 64 bits")
    except (ValueError, TypeError) as error:
        raise StudyError(
            f"{where}: {error}; accepted: whole numbers for depth, seed, iteration, and numbers"
        ) from None
    kind = (row["kind"] or "").strip()
    if kind not in KINDS:
        raise StudyError(f"{where}: kind {kind!r}; accepted: {', '.join(KINDS)}")
    if any(math.isfinite(error) and not 0 <= error <= 100 for error in errors.values()):
        raise StudyError(
            f"{where}: errors {sorted(errors.values())}; "
            "accepted: percent, 0 to 100, or nan where the run diverged"
        )
    return (kind, depth, seed), iteration, errors


def _from_csv(
    path: Path, run: tuple[str, int, int], rows: dict[int, dict[str, float]], length: int
) -> RunCurves:
    kind, depth, seed = run
    diverged = any(
        not math.isfinite(error) for errors in rows.values() for error in errors.values()
    )
    if max(rows) != length and not diverged:
        raise StudyError(
            f"{path}: {kind}-{depth} seed {seed} ends at iteration {max(rows)}, "
            f"others at {length}; runs of different lengths are not compared"
        )
    curves = {}
    for key in CSV_COLUMNS.values():
        points = {
            i: rows[i][key] for i in sorted(rows) if math.isfinite(rows[i].get(key, math.nan))
        }
        if points:
            curves[key] = Curve(list(points), list(points.values()))
    last = {} if diverged else {key: curve.values[-1] for key, curve in curves.items()}
    status = records.DIVERGED if diverged else records.FINISHED
    arm = f"{kind}-{depth}"
    name = f"{arm}-s{seed}"
    return RunCurves(name, arm, kind, depth, seed, status, length, last, curves, max(rows))
