"""What a multirun shows while it is at work and says at its end, of real multiruns."""

import contextlib
import os
import re
import shlex
from pathlib import Path

import filelock
import pytest
from tests.helpers import TINY, call, on_a_terminal, shown_by

RUN = ("data=shapes", "tracking=off", *TINY[1:])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The last lines of stdout, from the count of runs on."""
    lines = capsys.readouterr().out.splitlines()
    (first,) = [number for number, line in enumerate(lines) if " runs: " in line]
    return lines[first:]


@pytest.mark.usefixtures("here")
def test_every_arm_with_its_runs_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = (
        "-m",
        *RUN,
        "model.depth=8,7,10",
        "seed=0,1",
        "+variant=[plain],[plain,pre_activation]",
    )
    assert call(*RUN, "model.depth=8", "+variant=[plain]", "seed=1") == 0
    (run,) = Path().glob("outputs/adhoc/quick/runs/plain-8-*-s1")
    locked = run.parent / run.name.replace("-s1", "-s0")
    locked.mkdir()
    capsys.readouterr()
    with filelock.FileLock(locked / ".lock"):
        assert call(*sweep) == 2
    head, *arms, left = told(capsys)
    assert head == "12 runs: 7 ended, 1 not, 4 refused"
    states = {line.split()[0][:8] + ("pre" if "orderpre" in line else ""): line for line in arms}
    assert len(arms) == 4
    assert states["plain-8-"].endswith(" s0 not begun, s1 finished")
    assert states["plain-10"].endswith(" s0 finished, s1 finished")
    assert left == f"what is left: degradation {shlex.join(sweep)}"
    assert call(*shlex.split(left.partition("degradation ")[2])) == 2  # depth 7 stays wrong
    assert told(capsys)[0] == "12 runs: 8 ended, 0 not, 4 refused"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("asked", ["preset=paper", "trainer.precision=tf32"])
def test_runs_are_found_by_the_names_that_this_machine_gives_them(
    asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A CPU has no TF32, neither for the run nor for what it is named from."""
    sweep = ("-m", asked, *RUN, "model.depth=8", "hardware.device=cpu", "model.kind=plain,residual")
    assert call(*sweep) == 0
    assert told(capsys)[0] == "2 runs: 2 ended, 0 not, 0 refused"


@pytest.mark.usefixtures("here")
def test_one_run_has_no_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*RUN, "model.depth=8") == 0
    assert " runs: " not in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_damaged_run_and_a_quote_are_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ("-m", *RUN, "model.depth=8", "seed=0,1", r"data.root='/it\'s'")
    assert call(*sweep) == 0
    assert told(capsys)[0] == "2 runs: 2 ended, 0 not, 0 refused"
    (summary,) = Path().glob("outputs/adhoc/quick/runs/*-s0/summary.json")
    summary.write_text("{")
    assert call(*sweep) == 2
    head, arm, left = told(capsys)
    assert head == "2 runs: 1 ended, 1 not, 0 refused"
    assert arm.endswith(" s0 damaged, s1 finished")
    assert left == f"what is left: degradation {shlex.join(sweep)}"


def without_view(shown: bytes, height: int = 24) -> list[str]:
    """The lines that stay, on a terminal that knows what xterm does: `CSI 2K` empties the cursor's
    line, `CSI 1A` goes one up, but not to what has left the screen; no other code moves the cursor
    or takes anything back.
    """
    lines, at = [""], 0
    for code, text in re.findall(r"\x1b\[([0-9;?]*[A-Za-z])|([^\x1b]+)", shown.decode()):
        assert not code or code[-1] in "mhlKA"
        if code == "2K":
            lines[at] = ""
        elif code == "1A":
            at = max(at - 1, len(lines) - height)
        for char in text.replace("\r", ""):
            if char == "\n":
                at += 1
                lines += [""] * (at == len(lines))
            else:
                lines[at] += char
    return [line for line in lines if line.strip()]


@pytest.mark.parametrize(
    ("launcher", "lines", "columns"),
    [  # with no room for all arms; of a size that nobody knows
        ("pool", 8, 80),
        pytest.param("fleet", 0, 0, marks=pytest.mark.slow),
    ],
)
def test_on_a_terminal_all_arms_stand_below_the_lines(
    launcher: str, lines: int, columns: int, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["-m", *RUN, "model.depth=8", "optim.lr=0.01,0.02,0.03,0.04,0.05"]
    command = ["-m", "degradation", *sweep, f"hydra/launcher={launcher}"]
    pid, fd = on_a_terminal(command, here, lines, columns)
    shown = shown_by(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert re.search(rb"\d+ %.{,20} \d/5 runs", shown)
    (here / "elsewhere").mkdir()
    with contextlib.chdir(here / "elsewhere"):
        assert call(*sweep) == 0
    told = capsys.readouterr().out.splitlines()
    assert sorted(without_view(shown, lines or 24)) == sorted(told)


@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_on_a_terminal_leaves_the_cursor_and_the_word(twice: bool, here: Path) -> None:
    endless = [*RUN, "model.depth=8", "schedule.iterations=1000000", "seed=0,1"]
    pid, fd = on_a_terminal(["-m", "degradation", "-m", *endless], here)
    shown = shown_by(fd, until=b"0/2 runs, 1 running")
    os.write(fd, b"\x03")
    if twice:
        shown += shown_by(fd, until=b"interrupted")
        os.write(fd, b"\x03")  # while the list is made
    shown += shown_by(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert b"Traceback" not in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") >= 0
    if not twice:
        *_, word, count, _, _ = without_view(shown)  # the arm, and what is left
        assert word == "interrupted; the same command continues"
        assert count == "2 runs: 0 ended, 2 not, 0 refused"
