"""Timing and weighing real processes; what they cost is not tested, only that it is theirs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers import TINY

from degradation.benchmark import startup, study
from degradation.benchmark.results import ChildError

HEAVY = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "held = b'x' * 300_000_000"], check=True)
"""
RUN = """
import sys
from degradation.command import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print([name for name in ("torch._dynamo", "torchvision", "wandb") if name in sys.modules])
"""


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_command_is_timed_to_its_first_line_and_then_ended(
    handler: signal.Handlers, tmp_path: Path
) -> None:
    """Also where Ctrl-C is ignored, as in what a shell has started in its background."""
    before = signal.signal(signal.SIGINT, handler)
    endless = "import time; print('step', flush=True); time.sleep(3600)"
    try:
        assert 0 < startup.first_line_s([sys.executable, "-c", endless], str(tmp_path)) < 3600
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_command_without_a_line_fails_with_its_message(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such set')"]
    with pytest.raises(ChildError, match="no such set"):
        startup.first_line_s(command, str(tmp_path))


def test_the_timed_command_does_nothing_before_its_first_line_but_train(tmp_path: Path) -> None:
    _, _, _, *arguments = startup.run_command("off")
    arguments += ["data=shapes", *TINY, *startup.FIRST_STEP]
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"  # what is slow to import and not needed
    (metrics,) = tmp_path.rglob("metrics.jsonl")
    first = metrics.read_text().splitlines()[0]
    assert '"iteration": 1,' in first
    assert "train/loss" in first
    assert "eval/" not in first
    assert "test/" not in first


def test_the_peak_memory_is_that_of_the_largest_process_below(tmp_path: Path) -> None:
    light = study.run([sys.executable, "-c", "pass"], tmp_path)[1]
    heavy = study.run([sys.executable, "-c", HEAVY], tmp_path)[1]
    assert light < 100_000_000
    assert 300_000_000 < heavy < 400_000_000


def test_a_study_that_fails_gives_no_number(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match="status 3"):
        study.run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)
