"""The live view: what it shows of a sweep."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tests.watch.watched import ARMS, PLAN, begin, end, locked, row

from degradation import locks
from degradation.records import DIVERGED
from degradation.watch import live, table
from degradation.watch.progress import Planned, Progress, Sweep


def shown(runs: list[Progress], width: int = 80, height: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table.view(runs, 2, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines_by_arm(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_the_table_fits_a_small_terminal_at_full_length() -> None:
    runs = []
    for arm, seed in itertools.product(ARMS, range(3)):
        errors = {"eval/train_error_pct": 41.5, "test/error_pct": 43.75}
        rows = [row(64000, 3600.0, **errors)]
        runs.append(Progress(Planned(f"{arm}-s{seed}", 64000, 1.0), rows, DIVERGED))
    text = shown(runs)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    cells = ["3/3", "64000/64000", "0.051", "61.23", "41.50", "43.75", "12346", "3", "diverged"]
    assert lines_by_arm(text)["residual-110"] == cells


def test_nets_without_errors_show_their_losses() -> None:
    losses = {"train/loss": 0.0123456, "eval/train_loss": 0.0000123, "test/loss": 0.25}
    last = {"iteration": 64000, "lr": 0.05, "wall_s": 3600.0, "images_per_s": 12345.6, **losses}
    probed = {"iteration": 64000, "lr": 0.05, "images_per_s": 12345.6, "probe/some/loss": 1.0}
    runs = [Progress(Planned(f"{arm}-s0", 64000, 1.0), [last, probed], DIVERGED) for arm in ARMS]
    text = shown(runs)
    assert max(map(len, text.splitlines())) <= 80
    for found in (shown(runs, width=120), table.text(runs, 2)):
        head, *_ = found.splitlines()
        assert [*head.split()][4:10] == ["run", "loss", "train", "loss", "test", "loss"]
        assert lines_by_arm(found)["residual-110"][3:6] == ["0.0123", "1.23e-05", "0.25"]
    assert "1.23e-05 " in text
    with_errors = [*runs, Progress(Planned("plain-8-s0", 64000, 1.0), [row(1)], DIVERGED)]
    assert "train %" in shown(with_errors)


def test_each_arm_shows_its_run_at_work(tmp_path: Path) -> None:
    end(tmp_path, "plain-110-s0")
    clean = {"eval/train_subset_error_pct": 50.5, "test/subset_error_pct": 52.5}
    begin(tmp_path, "plain-110-s1", row(100, 30.0, **clean), row(200, 60.0)).close()
    for seed in range(2):
        end(tmp_path, f"residual-110-s{seed}", DIVERGED if seed else "finished")
    sweep = Sweep(tmp_path, PLAN)
    with locked(tmp_path, "plain-110-s1"):
        text, plain = shown(sweep.look()), table.text(sweep.look(), 2)
    running = ["1/2", "200/400", "0.051", "61.23", "50.50", "52.50", "12346", "60", "s", "running"]
    for found in (text, plain):
        arms = lines_by_arm(found)
        assert arms["plain-110"] == running
        assert arms["residual-110"][-2:] == ["1", "diverged"]
        assert arms["plain-18"] == ["0/2", "36", "s", "not", "begun"]
        assert "3/8 runs, 1 running, 1 diverged  about" in found
    stopped = shown(sweep.look())
    assert lines_by_arm(stopped)["plain-110"][-1] == "stopped"
    assert "about" not in stopped


def test_an_arm_that_has_ended_shows_its_mean_over_the_seeds_that_finished() -> None:
    plan = [Planned(f"plain-8-s{seed}", 64000, 1.0) for seed in range(3)]
    ends = [
        row(64000, **{"eval/train_error_pct": error, "test/error_pct": error + 2})
        for error in (40.0, 43.0, 90.0)
    ]
    states = ("finished", "finished", DIVERGED)
    runs = [Progress(p, [end], status) for p, end, status in zip(plan, ends, states, strict=True)]
    assert lines_by_arm(shown(runs))["plain-8"][4:6] == ["41.50", "43.50"]
    runs[1] = Progress(plan[1], [ends[1]], "running")
    assert lines_by_arm(shown(runs))["plain-8"][4:6] == ["43.00", "45.00"]


def test_long_names_take_the_place_of_columns() -> None:
    arms = ("residual-56-activationprelu_shared", "residual-56-batch_normfalse-initxavier")
    plan = [Planned(f"{arm}-s0", 64000, 1.0) for arm in arms]
    errors = {"eval/train_error_pct": 41.5, "test/error_pct": 43.75}
    text = shown([Progress(plan[0], [row(64000, **errors)], "running"), Progress(plan[1], [], "")])
    assert all(arm in text for arm in arms)
    assert max(map(len, text.splitlines())) <= 80
    for kept, gone in (("train %", "img/s"), ("test %", "lr"), ("status", "run %")):
        assert kept in text
        assert gone not in text
    wide = shown([Progress(plan[0], [row(64000, **errors)], "running")], width=120)
    assert all(name in wide for name in table.COLUMNS)


def test_of_very_long_names_the_middle_goes() -> None:
    changes = "datashapes-pixels8-train_images256-width4-iterations2000-batch_size48-lr0.1"
    errors = {"eval/train_error_pct": 41.5, "test/error_pct": 43.75}
    runs = [
        Progress(Planned(f"{kind}-56-{changes}-s0", 64000, 1.0), [row(64000, **errors)], DIVERGED)
        for kind in ("plain", "residual")
    ]
    text = shown(runs)
    assert max(map(len, text.splitlines())) <= 80
    for kind in ("plain-56", "residual-56"):
        (line,) = [line for line in text.splitlines() if line.startswith(kind)]
        arm, iteration, *_, status = line.split()
        assert arm.endswith("-lr0.1")
        assert "…" in arm
        assert (iteration, status) == ("64000/64000", "diverged")


def test_where_there_is_little_room_what_happens_is_shown(tmp_path: Path) -> None:
    names = [f"plain-{depth}" for depth in range(8, 68, 2)]
    plan = [Planned(f"{name}-s0", 400, 1.0) for name in names]
    end(tmp_path, "plain-8-s0")
    end(tmp_path, "plain-10-s0", DIVERGED)
    begin(tmp_path, "plain-12-s0", row(25)).close()
    with locked(tmp_path, "plain-66-s0"):
        runs = Sweep(tmp_path, plan).look()
    text = shown(runs, height=12)
    arms = [line.split()[0] for line in text.splitlines() if line.startswith("plain")]
    assert arms == ["plain-10", "plain-12", "plain-14", "plain-16", "plain-18", "plain-66"]
    assert "and 24 more arms: 1 done, 23 not begun" in text
    assert len(text.splitlines()) < 12
    assert "plain-64" in shown(runs)


def test_a_failed_run_is_counted_beside_its_arm() -> None:
    runs = [
        Progress(plan, [], status)
        for plan, status in zip(PLAN[:2], ("running", "failed"), strict=True)
    ]
    assert lines_by_arm(shown(runs))["plain-110"][-2:] == ["1", "failed"]
    assert "1 running, 1 failed" in shown(runs)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REFRESH_S", 0.0)


def steps(study: Path) -> Iterator[bool]:
    """A sweep of two runs, a step each time it is asked whether it goes on."""
    with locked(study, "plain-18-s1"):
        writer = begin(study, "plain-18-s1", row(25))
        yield True
        writer.close()
        end(study, "plain-18-s1")
    yield True
    end(study, "residual-18-s0", DIVERGED)
    yield False


@pytest.mark.usefixtures("at_once")
def test_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end(tmp_path, "plain-18-s0")  # in an earlier call: not news
    running = steps(tmp_path)
    live.watch(Sweep(tmp_path, PLAN), lambda: next(running), Console(file=io.StringIO()))
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert told == [
        ["plain-18-s1", "finished", "train", "41.50", "%", "test", "43.75", "%"],
        ["residual-18-s0", "diverged", "at", "iteration", "25"],
    ]


@pytest.mark.usefixtures("at_once")
def test_a_line_from_time_to_time_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LINE_EVERY_S", 0.0)
    running = steps(tmp_path)
    live.watch(Sweep(tmp_path, PLAN), lambda: next(running), Console(file=io.StringIO()))
    # 1 s for the 25 iterations: 15 s to go, and 16 s for each of the seven others.
    line = "  1 %  0/8 runs, 1 running  about 2 min left"
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("at_once")
def test_a_table_on_a_terminal_and_its_last_state_stays(tmp_path: Path) -> None:
    running, out = steps(tmp_path), io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=80, height=24)
    with locks.hold(tmp_path / "sweep.log.lock"):
        live.watch(Sweep(tmp_path, PLAN, is_own=True), lambda: next(running), console)
    drawn = out.getvalue()
    assert max(map(drawn.index, ("running", "waiting"))) < drawn.rindex("not begun")
    assert "\x1b[?25l" in drawn  # the cursor goes, and is back at the end
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("not begun")
    last = drawn[drawn.rindex("iteration") :]
    assert "2/8 runs, 1 diverged" in last
    assert "waiting" not in last


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (1.5e6, "17.4 days"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert table.duration(seconds) == text


def test_a_record_of_another_program_may_lack_what_is_shown(tmp_path: Path) -> None:
    begin(tmp_path, "plain-18-s0", {"iteration": 40}).close()
    with locked(tmp_path, "plain-18-s0"):
        runs = Sweep(tmp_path, PLAN).look()
    assert "40/400" in shown(runs)
    assert "about 0 s left" in shown(runs)
