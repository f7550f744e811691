"""`make reproduce`: what it chooses, runs, shows and leaves behind, in a small checkout."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import (
    TINY,
    WAIT_S,
    descendants,
    is_alive,
    iterations,
    read_json,
    read_lines,
    snapshot,
    tiny_config,
    wait_for,
)
from tests.small_study import ROOT, environment, make_checkout

from degradation import cli, config, locks
from degradation.command import POOL_ENDED
from degradation.config import ConfigError
from degradation.studies import reproduce

RUNS = ["plain-8-s0", "plain-8-s1", "residual-8-s0", "residual-8-s1"]


def call(checkout: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """`make reproduce` on the small study."""
    return subprocess.run(
        ["make", "reproduce", *arguments],
        cwd=checkout,
        env=environment(checkout, **extra),
        capture_output=True,
        text=True,
        check=False,
    )


def test_from_a_machine_without_data_to_the_verdict_and_again(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    first = call(checkout, "EXPERIMENT=small", "SEEDS=0 1")
    study = checkout / "outputs" / "small_shapes" / "quick"
    assert (first.returncode, first.stderr.count("failed: <urlopen")) == (0, 5)  # each mirror
    told = first.stdout
    for loud in ("NO CIFAR-10 HERE", "as small_shapes", "it is NOT CIFAR-10"):
        assert loud in told
    assert "small_shapes claims nothing for preset paper; taking preset quick, about" in told
    assert "4 runs, 4 to do, in outputs/small_shapes/quick" in told
    assert sorted(path.name for path in study.glob("runs/*")) == RUNS
    lines = [line.split() for line in told.splitlines()]
    assert sorted(line[0] for line in lines if line[1:2] == ["finished"]) == RUNS
    table = told[told.index("\nclaim  ") :]
    header, _, *verdicts = table.strip().splitlines()
    assert header.split() == ["claim", "paper", "committed", "this", "run"]
    assert verdicts[0].startswith("residual-beats-plain")
    assert verdicts[1].split()[:4] == ["equal-parameters", "the", "same", "SUPPORTED"]
    assert "outputs/small_shapes/quick/report.html\noutputs/index.html\n" in table
    assert "small_shapes" in (checkout / "outputs" / "index.html").read_text()
    assert "shapes (procedural, not CIFAR-10)" in (study / "report.html").read_text()
    assert "outputs/small_shapes/quick/curves.png" in table
    assert (study / "curves.png").exists()

    before = snapshot(study / "runs")
    again = call(checkout, "EXPERIMENT=small_shapes", "PRESET=quick")
    assert (again.returncode, again.stderr) == (0, "")
    assert "4 runs, 0 to do" in again.stdout
    assert again.stdout.endswith(table)
    assert snapshot(study / "runs") == before


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


class Terminal:
    """`make reproduce` from a shell in a terminal of its own."""

    def __init__(self, checkout: Path, *arguments: str) -> None:
        self.drawn = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for sign in (signal.SIGINT, signal.SIGHUP):  # ignored, if these tests are in a nohup
                signal.signal(sign, signal.SIG_DFL)
            os.chdir(checkout)
            command = ["sh", "-c", 'make reproduce "$@"; exit $?', "sh", *arguments]
            os.execvpe("sh", command, environment(checkout, TERM="xterm"))
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.set_blocking(self.fd, False)

    def read(self) -> str:
        try:
            while chunk := os.read(self.fd, 65536):
                self.drawn += chunk
        except OSError:  # nothing more for now, or nobody at the other end
            pass
        return self.drawn.decode(errors="replace")

    def shows(self, text: str) -> bool:
        return text in self.read()

    def end(self) -> int:
        """Waits for its exit status."""
        found: list[int] = []

        def has_ended() -> bool:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            found.extend([status] if pid else [])
            return bool(found)

        wait_for(has_ended)
        self.read()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(found[0])


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    return make_checkout(tmp_path, iterations=1_000_000)


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_and_a_closed_one_leave_nothing_at_work(endless: Path) -> None:
    terminal = Terminal(endless, "EXPERIMENT=small_shapes", "PRESET=quick")
    wait_for(lambda: terminal.shows("running") and iterations(endless).get("plain-8-s0", 0) > 20)
    drawn = terminal.read()
    for column in (
        "arm",
        "iteration",
        "lr",
        "run %",
        "train %",
        "test %",
        "img/s",
        "ETA",
        "status",
    ):
        assert column in drawn
    family = descendants(terminal.pid)
    assert len(family) >= 2  # the command and its sweep, at least
    os.write(terminal.fd, b"\x03")
    assert terminal.end() != 0
    assert "interrupted; the same command continues" in terminal.read()
    assert "Traceback" not in terminal.read()
    wait_for(lambda: not any(map(is_alive, family)))

    (run_dir,) = list(endless.glob("outputs/small_shapes/quick/runs/plain-8-s0"))
    before, reached = read_lines(run_dir / "metrics.jsonl"), iterations(endless)["plain-8-s0"]
    terminal = Terminal(endless, "EXPERIMENT=small_shapes", "PRESET=quick")
    wait_for(lambda: iterations(endless).get("plain-8-s0", 0) > reached)
    after = read_lines(run_dir / "metrics.jsonl")
    continued = [row["wall_s"] for row in after[:2]] == [row["wall_s"] for row in before[:2]]
    assert continued  # trained once, not again
    family = descendants(terminal.pid)
    os.close(terminal.fd)  # the window is shut: SIGHUP
    wait_for(lambda: not any(map(is_alive, family)))
    os.waitpid(terminal.pid, 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process at the top of a checkout, to call `reproduce` without a start of seconds."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    for name in ("HYDRA_FULL_ERROR", "DEGRADATION_FULL_ERROR"):
        monkeypatch.setenv(name, "0")
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nothing", "quick", "", ""), "experiment: 'nothing'; accepted: "),
        (("depth_sweep", "slow", "", ""), "preset: 'slow'; accepted: paper, quick"),
        (("depth_sweep", "quick", "0,x", ""), "seeds: '0,x'; accepted: whole numbers from 0"),
        (("depth_sweep", "quick", "-1", ""), "seeds: '-1'; accepted: whole numbers from 0"),
        (("depth_sweep", "quick", "0", "nowhere"), "nowhere: no such folder; expected one that"),
        (("fully_connected", "quick", "0", "."), "data.root=.: holds no MNIST/raw/"),
        (("depth_sweep_shapes", "paper", "0", ""), "no claims for preset 'paper'; made for quick"),
        (("paper_depths", "quick", "0", ""), "no claims for preset 'quick'; made for paper"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_before_anything_is_trained(
    arguments: tuple[str, str, str, str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.guard(lambda: reproduce.reproduce(*arguments)) == 2
    told = capsys.readouterr().err.splitlines()
    assert [each for each in told if each.startswith("error: ")] == told[-1:]
    assert line in told[-1]
    assert not list(Path().glob("outputs/*/*/runs"))


ANY = st.text(st.characters(blacklist_categories=["C"], blacklist_characters="$"), min_size=1)


@given(ANY | st.from_regex(r"/[a-zA-Z0-9_./-]+", fullmatch=True))
def test_any_folder_passes_through_hydra(folder: str) -> None:
    override = f"data.root={reproduce.quoted(folder)}"
    (parsed,) = OverridesParser.create().parse_overrides([override])
    assert not parsed.is_sweep_override()
    assert parsed.value() == folder


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("experiment", "steps", "chosen", "why"),
    [
        ("depth_sweep", 20, "paper", "preset paper would take about {}, within 2.0 h"),
        ("depth_sweep", 10**12, "quick", "preset paper would take about {}, more than 2.0 h"),
        ("depth_sweep_shapes", 20, "quick", "depth_sweep_shapes claims nothing for preset paper"),
    ],
)
def test_the_choice_of_a_preset_says_which_why_and_how_long(
    experiment: str, steps: int, chosen: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = [f"experiment={experiment}", f"schedule.iterations={steps}", "seed=5"]
    presets = ("quick",) if "shapes" in experiment else ("paper", "quick")
    plans = {name: {"plain-8-s5": tiny_config(*study)} for name in presets}
    assert reproduce.choose_preset(experiment, plans) == chosen
    told = capsys.readouterr().out.splitlines()[-1]
    before, after = why.split("{}") if "{}" in why else (why, "")
    assert before in told
    assert after in told
    assert f"taking preset {chosen}, about " in told
    assert "PRESET= overrides" in told


@pytest.mark.usefixtures("here")
def test_a_study_too_long_and_without_a_quick_form_asks(capsys: pytest.CaptureFixture[str]) -> None:
    plans = {"paper": {"plain-8-s5": tiny_config("schedule.iterations=1000000000", "seed=5")}}
    with pytest.raises(ConfigError, match=r"more than 2.0 h, and no claims .* quick; PRESET=paper"):
        reproduce.choose_preset("paper_depths", plans)
    assert "taking" not in capsys.readouterr().out


@pytest.fixture
def tiny(here: Path) -> list[str]:
    """Overrides for a sweep of seconds below the current folder."""
    return [*TINY, "tracking=off", "data=shapes", "seed=0"]


def sweep(overrides: list[str]) -> int:
    runs = cli.sweep("depth_sweep_shapes", "quick", overrides)
    study = config.study_dir(next(iter(runs.values())))
    arguments = ["+experiment=depth_sweep_shapes", "preset=quick", *overrides]
    return reproduce.sweep(arguments, study, runs)


@pytest.mark.slow
def test_arms_that_diverge_or_fail_do_not_stop_the_others(
    tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*tiny, "model.kind=plain", "optim.lr=0.1,0.2,1e30"]
    usual, broken, wild = cli.sweep("depth_sweep_shapes", "quick", overrides)
    run_dir = Path("outputs", "depth_sweep_shapes", "quick", "runs", broken)
    run_dir.mkdir(parents=True)
    (run_dir / "checkpoint.pt").write_bytes(b"not one")
    assert sweep(overrides) == 2
    out, err = capsys.readouterr()
    ended = {line.split()[0]: line.split()[1:] for line in out.splitlines() if "-s0 " in line}
    assert ended[usual][0] == "finished"
    assert ended[wild][:3] == ["diverged", "at", "iteration"]
    assert ended[broken][0] == "failed"
    head, told = err.splitlines()
    assert head.startswith("the sweep ended with status 2; outputs/")
    assert told.startswith(f"error: {run_dir / 'checkpoint.pt'}: ")
    (run_dir / "checkpoint.pt").unlink()
    assert sweep(overrides) == 0  # the next call makes it up
    assert f"{broken} finished" in capsys.readouterr().out


@pytest.mark.slow
def test_what_another_process_is_at_is_waited_for_and_then_taken_over(
    tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Here it ends without having done anything, as if it had been killed."""
    overrides = [*tiny, "model.kind=plain", "optim.lr=0.1,0.2"]
    usual, locked = cli.sweep("depth_sweep_shapes", "quick", overrides)
    runs = Path("outputs", "depth_sweep_shapes", "quick", "runs")
    (runs / locked).mkdir(parents=True)
    lock = filelock.FileLock(runs / locked / ".lock", thread_local=False)

    def other() -> None:
        wait_for(
            lambda: (log := runs.parent / "sweep.log").exists() and locks.AT_WORK in log.read_text()
        )
        lock.release()

    with lock, ThreadPoolExecutor() as pool:
        ended = pool.submit(other)
        assert sweep(overrides) == 0
        ended.result()
    out, err = capsys.readouterr()
    assert err == ""
    assert {line.split()[0] for line in out.splitlines() if " finished " in line} == {usual, locked}


@pytest.mark.slow
def test_two_calls_at_once_share_the_runs(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path, iterations=100)
    script = str(ROOT / "scripts" / "reproduce.py")
    command = [sys.executable, script, "--experiment=small_shapes", "--preset=quick"]
    both = [
        subprocess.Popen(
            command,
            cwd=checkout,
            env=environment(checkout),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=WAIT_S)
        assert (process.returncode, err) == (0, "")
        assert "equal-parameters" in out
    study = checkout / "outputs" / "small_shapes" / "quick"
    assert iterations(checkout) == dict.fromkeys(RUNS, 100)
    for name in RUNS:  # trained by one of the two, from the beginning to the end
        assert "earlier" not in read_json(study / "runs" / name / "environment.json")
    logs = [study / "sweep.log", study / "sweep.2.log"]
    assert [log.exists() for log in logs] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a b,c=d", "it's [x] {y}", "~/data"])
def test_data_root_may_be_any_folder(tmp_path: Path, cifar10_root: Path, name: str) -> None:
    checkout = make_checkout(tmp_path)
    folder = checkout / (name.replace("~", "home"))
    folder.parent.mkdir(exist_ok=True)
    folder.symlink_to(cifar10_root.absolute())
    done = call(
        *(checkout, "EXPERIMENT=small", "PRESET=quick", "SEEDS=0", f"DATA_ROOT={name}"),
        HOME=str(checkout / "home"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 runs, 2 to do, in outputs/small/quick" in done.stdout
    assert "equal-parameters" in done.stdout
    for run in ("plain-8-s0", "residual-8-s0"):
        record = checkout / "outputs" / "small" / "quick" / "runs" / run / "environment.json"
        assert str(folder) not in record.read_text()


@pytest.mark.slow
def test_a_killed_sweep_takes_its_pool_along(endless: Path) -> None:
    """As when the system runs out of memory: the parent of the pool is gone at once."""
    arguments = ("--experiment=small_shapes", "--preset=quick", "--seeds=0")
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), *arguments]
    with subprocess.Popen(
        command, cwd=endless, env=environment(endless), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: max(iterations(endless).values(), default=0) > 10)
        family = descendants(process.pid)
        (parent,) = [pid for pid in family if os.getpgid(pid) == pid]
        os.kill(parent, signal.SIGKILL)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 2
    assert "the sweep ended with status -9" in err
    wait_for(lambda: not any(map(is_alive, family)))


@pytest.mark.slow
def test_a_killed_worker_of_the_pool_costs_no_run(tmp_path: Path) -> None:
    """As when memory runs out; the pool ends with it, and the sweep starts another one."""
    checkout = make_checkout(tmp_path, iterations=400)
    arguments = ("--experiment=small_shapes", "--preset=quick")
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), *arguments]
    with subprocess.Popen(
        command, cwd=checkout, env=environment(checkout), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: max(iterations(checkout).values(), default=0) > 10)
        family = [pid for pid in descendants(process.pid) if "LokyProcess" in command_line(pid)]
        os.kill(family[0], signal.SIGKILL)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    assert err.splitlines()[1:] == [f"error: {POOL_ENDED}"]
    assert iterations(checkout) == dict.fromkeys(RUNS, 400)
