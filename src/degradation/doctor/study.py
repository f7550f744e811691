"""What the study needs: its data, folders it may write to, disk and memory."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import joblib
import torch

from degradation import config, environment, records
from degradation.analysis.claims import EXPERIMENTS
from degradation.config import Config
from degradation.data.archives import DataError, cache_folder
from degradation.data.images import download_bytes, find_images
from degradation.doctor import memory, need
from degradation.doctor.page import ELSEWHERE, NOTE, OK, PROBLEM, Line, flat, gib, looked
from degradation.doctor.plan import Asked, planned
from degradation.tracking import account

Plan = Mapping[str, Config]


def look(asked: Asked) -> Iterator[Line]:
    plan, trouble = planned(asked)
    if trouble and not Path(EXPERIMENTS).is_dir():
        found = f"{asked.name}: no {EXPERIMENTS}/ in {Path().absolute()}"
        yield Line(PROBLEM, "study", f"{found}; accepted: the folder of a checkout, which has it")
    elif trouble:
        yield Line(PROBLEM, "study", f"{asked.name}: {trouble}")
    names = sorted({run.data.name for run in plan.values()}) or ["cifar10"]
    roots = {run.data.root for run in plan.values() if run.data.root}
    root = asked.data_root or next(iter(roots), None)
    downloads = 0
    for name in names:
        for line in looked(name, lambda: [data(name, root)]):  # noqa: B023
            downloads += download_bytes(name) if line.state == NOTE else 0
            yield line
    if plan:
        left = unmade(plan)
        yield from looked("folders", lambda: folders(plan, bool(downloads)))
        yield from looked("disk", lambda: disks(plan, left, downloads))
        yield from looked("memory", lambda: memories(left))


def data(name: str, root: str | None) -> Line:
    """Where the set is, every file's SHA-256 compared."""
    try:
        found = find_images(name, root)
    except DataError as error:
        if root:
            advice = "DATA_ROOT=<the folder that holds it>, or none for the cache folder"
            return Line(PROBLEM, name, flat(error), advice)
        size = gib(download_bytes(name))
        found_not = (
            f"not in the cache folder ({flat(error)}); a run will try to download it, {size}"
        )
        return Line(
            NOTE, name, found_not, "without a network: DATA_ROOT=<the folder that holds it>"
        )
    if found is None:
        return Line(OK, name, "made here, no files needed")
    return Line(OK, name, f"{found}, every SHA-256 as it must be")


def unmade(plan: Plan) -> list[Config]:
    """Runs without a summary; one that cannot be read is another line's business."""
    runs = config.study_dir(next(iter(plan.values()))) / "runs"
    return [run for name, run in plan.items() if not (runs / name / records.SUMMARY).exists()]


def folders(plan: Plan, downloads: bool) -> Iterator[Line]:
    study = config.study_dir(next(iter(plan.values())))
    places = {study, *(study / "runs" / name for name in plan)}
    wrong = sorted({why for place in places if (why := unwritable(place))})
    if wrong:
        yield Line(PROBLEM, "outputs", "; ".join(wrong), ELSEWHERE)
    else:
        yield Line(OK, "outputs", f"{study} can be written")
    cache = cache_folder()
    if not (why := unwritable(cache)):
        yield Line(OK, "cache", f"{cache} can be written")
    elif downloads or "mnist" in {run.data.name for run in plan.values() if not run.data.root}:
        yield Line(PROBLEM, "cache", why, "DEGRADATION_CACHE=<a folder that can be written>")
    else:
        yield Line(NOTE, "cache", f"{why}; each start decodes CIFAR-10 anew", "DEGRADATION_CACHE=")


def standing(path: Path) -> Path:
    """The path itself or the nearest above it that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def unwritable(path: Path) -> str:
    """Why nothing can be written to a folder that may not be there yet; empty where it can."""
    place = standing(path)
    if not place.is_dir():
        return f"{place} is not a folder"
    if os.access(place, os.W_OK | os.X_OK):
        return ""
    is_readonly = os.statvfs(place).f_flag & os.ST_RDONLY
    return f"{place} {'is on a read-only file system' if is_readonly else 'must not be written'}"


def disks(plan: Plan, left: list[Config], downloads: int) -> Iterator[Line]:
    """A line for each file system: what is free, what will be needed and for what."""
    study = config.study_dir(next(iter(plan.values())))
    mirrored = any(_is_mirrored(run) for run in left)
    parts = [(study, need.disk_bytes(left, mirrored), _for(left, mirrored))]
    if downloads:
        parts.append((cache_folder(), downloads, f"{gib(downloads)} for the data"))
    by_device: dict[int, list[tuple[Path, float, str]]] = {}
    for part in parts:
        by_device.setdefault(standing(part[0]).stat().st_dev, []).append(part)
    for same in by_device.values():
        path, wanted = same[0][0], sum(size for _, size, _ in same)
        free = shutil.disk_usage(standing(path)).free
        found = f"{gib(free)} free at {path}, about {gib(wanted)} needed: "
        found += " and ".join(text for _, _, text in same)
        if free < wanted:
            yield Line(PROBLEM, "disk", found, f"make room; {ELSEWHERE}")
        else:
            yield Line(OK, "disk", found)


def _for(left: list[Config], mirrored: bool) -> str:
    if not left:
        return "no run is left"
    largest = max(map(need.checkpoint_bytes, left))
    wandb = ", W&B files" if mirrored else ""
    return (
        f"{len(left)} runs x {need.CHECKPOINTS} checkpoints of up to {gib(largest)}, records{wandb}"
        f"{_how(left)}"
    )


def _how(left: list[Config]) -> str:
    too_large = any(need.is_too_large(run.model) for run in left)
    return " (nets too large to build here: by formula)" if too_large else ""


def _is_mirrored(run: Config) -> bool:
    try:
        return account.resolve_mode(run.tracking.mode) != "off"
    except config.ConfigError:  # has its own line
        return False


def memories(left: list[Config]) -> Iterator[Line]:
    """Of the machine, and of the GPU where that is what the runs take."""
    if not left:
        return
    device = environment.select_device(left[0].hardware)
    sizes, images = [need.run_bytes(run) for run in left], max(map(need.data_bytes, left))
    at_once = min(len(left), joblib.cpu_count()) if device.type == "cpu" else 1
    processes = at_once + 2  # the watcher and the sweep
    wanted = float(need.LIBRARIES_BYTES + processes * need.PROCESS_BYTES)
    if device.type == "cpu":
        wanted += at_once * images + sum(sorted(sizes)[-at_once:])
    found = f"{at_once} at a time, {gib(max(sizes))} the largest run{_how(left)}, the rest images "
    found += "and libraries"
    by_hand = f"degradation +experiment={left[0].experiment} preset={left[0].preset} hydra"
    yield _room(
        "memory",
        memory.available(),
        wanted,
        found,
        f"{by_hand}/launcher=pool hydra.launcher.n_jobs=1",
    )
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        found = f"{len(left)} runs side by side, {gib(max(sizes))} the largest, without cuDNN's own"
        advice = f"{by_hand}/launcher=fleet hydra.launcher.side_by_side=<fewer>"
        yield _room("GPU memory", free, sum(sizes) + images, found, advice)


def _room(subject: str, free: float, wanted: float, what: str, advice: str) -> Line:
    found = f"{gib(free)} free, about {gib(wanted)} needed: {what}"
    return Line(PROBLEM, subject, found, advice) if free < wanted else Line(OK, subject, found)
