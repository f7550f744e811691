"""Memory that is left for this process: of the machine, or of the job it is part of."""

import os
from collections.abc import Iterator
from pathlib import Path

LIMITS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": (
        *("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    ),
}
"""Controller in /proc/self/cgroup -> folder, limit, use, and what of this is only a cache: cgroups
of version 2 and 1.
"""


def available(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes; a batch system limits a job to less than its machine has."""
    return min([_machine(proc), *_groups(proc, cgroups)])


def _machine(proc: Path) -> int:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:  # not Linux: all there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (kib,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kib) * 1024


def _groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What each group around the process, outwards, still allows."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controller, path = line.split(":", 2)
        if controller not in LIMITS:
            continue
        folder, limit, used, cache = LIMITS[controller]
        group = Path(path.strip("/"))
        for place in (group, *group.parents):
            at = cgroups / folder / place
            try:
                taken = int((at / used).read_text()) - _entry(at / "memory.stat", cache)
                yield int((at / limit).read_text()) - taken
            except (OSError, ValueError):  # no such group, or the limit is `max`
                continue


def _entry(path: Path, name: str) -> int:
    entries = dict(line.split() for line in path.read_text().splitlines())
    return int(entries.get(name, 0))
