"""Real runs killed at random moments, and whether what the same command makes of them in the end
is the run that nobody disturbed.
"""

import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers import TINY, command, only_run, same_run, start

RUN = (
    *("data=shapes", "tracking=off", *TINY),
    *("schedule.iterations=400", "schedule.milestones=[300]"),
    *("trainer.record_every=1", "trainer.eval_every=20", "trainer.checkpoint_every=3"),
)
"""Writes to the disk all the time, so that many a kill falls into a write."""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
AT_THE_START = 0.2
"""Share of the kills that may fall into the start, before there is anything to lose."""
START_S, RUN_S = 4.0, 3.0
"""The longest that a process is left alone: from its start, and from its first row on."""


@dataclass
class Killed:
    """What was done to one run."""

    signals: list[str] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)
    """The last iteration on record after each signal; 0 where there was none yet."""
    tracebacks: list[str] = field(default_factory=list)
    """Of kills that ended the command in one; its run may still be whole."""
    fault: str = ""
    """What was wrong after a kill, or differs in the end from the undisturbed run, if anything."""


def kill_runs(kills: int, seed: int, folder: Path) -> list[Killed]:
    """At least so many kills, over as many runs as it takes."""
    draw, found = random.Random(seed), list[Killed]()
    reference = folder / "alone"
    reference.mkdir(parents=True)
    assert command(RUN, reference)[0] == 0
    while sum(len(run.signals) for run in found) < kills:
        left = kills - sum(len(run.signals) for run in found)
        found.append(kill_run(draw, left, folder / "killed", reference))
    return found


def kill_run(draw: random.Random, most: int, folder: Path, reference: Path) -> Killed:
    """One run, killed until it ends before the next kill, or `most` times."""
    killed = Killed()
    folder.mkdir()
    while len(killed.signals) < most:
        sign = draw.choice(SIGNALS)
        with start(RUN, folder) as process:
            if ended := ends_before(process, folder, draw):
                break
            process.send_signal(sign)
            _, err = process.communicate(timeout=120)
        killed.signals.append(sign.name)
        if "Traceback" in err:
            killed.tracebacks.append(err)
        killed.reached.append(last_iteration(folder))
        killed.fault = killed.fault or broken(folder)
    else:
        ended = False
    if not ended and command(RUN, folder)[0]:
        killed.fault = killed.fault or "the same command does not end well"
    killed.fault = killed.fault or difference(folder, reference)
    shutil.rmtree(folder)
    return killed


def ends_before(process: "subprocess.Popen[str]", folder: Path, draw: random.Random) -> bool:
    """Waits until the kill is due; whether the run ended by itself before that."""
    early = draw.random() < AT_THE_START
    if not early:
        before = last_iteration(folder)
        while process.poll() is None and last_iteration(folder) == before:
            time.sleep(0.005)
    time.sleep(draw.uniform(0, START_S if early else RUN_S))
    return process.poll() is not None


def last_iteration(folder: Path) -> int:
    """By the number of whole lines: each iteration has one."""
    return sum(1 for _ in whole_lines(folder))


def broken(folder: Path) -> str:
    """Empty if the record has what holds at every moment: no gap, no duplicate, and only the last
    line may be cut short.
    """
    try:
        iterations = [json.loads(line)["iteration"] for line in whole_lines(folder)]
    except (ValueError, KeyError, TypeError) as error:
        return f"a line of the record is none: {error!r}"
    expected = list(range(1, len(iterations) + 1))
    return "" if iterations == expected else f"a gap or a duplicate: {iterations}"


def whole_lines(folder: Path) -> Iterator[bytes]:
    for path in folder.glob("outputs/*/*/runs/*/metrics.jsonl"):
        *lines, _ = path.read_bytes().split(b"\n")
        yield from lines


def as_json(runs: Sequence[Killed]) -> dict[str, int]:
    """For a results file: kills, how many of them in runs that ended as the undisturbed one, how
    many by each signal; runs.
    """
    kinds = Counter(sign for run in runs for sign in run.signals)
    survived = sum(len(run.signals) for run in runs if not run.fault)
    return {
        **{"tried": kinds.total(), "survived": survived, **kinds},
        **{"runs": len(runs), "runs_lost": sum(bool(run.fault) for run in runs)},
        "tracebacks": sum(len(run.tracebacks) for run in runs),
    }


def difference(folder: Path, reference: Path) -> str:
    """Empty if the final record and weights are bit for bit those of the undisturbed run."""
    try:
        same_run(only_run(folder / "outputs"), only_run(reference / "outputs"))
    except (AssertionError, ValueError) as error:
        return f"differs: {error}"
    return ""
