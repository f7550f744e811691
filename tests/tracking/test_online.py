"""Runs in front of a W&B server that fails, and what `make sync` makes good afterwards."""

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import TINY, call, lines_of, only_run, read_json, tiny_config, without_times
from tests.tracking.test_mirror import history, read_wandb, without_kinds
from tests.wandb_server import Server

from degradation import cli, config, records
from degradation.tracking import copies, dashboard, mirror, starting, uploads

RUN = ("data=shapes", *TINY)
ROWS: list[records.Row] = [
    {"iteration": 5, "epoch": 1.0, "lr": 0.1, "wall_s": 0.5, "train/loss": 2.25},
    {"iteration": 10, "epoch": 2.0, "lr": 0.1, "wall_s": 1.0, "train/loss": 2.125},
    {"iteration": 15, "epoch": 3.0, "lr": 0.1, "wall_s": 1.5, "train/loss": 2.0},
    {"iteration": 20, "epoch": 4.0, "lr": 0.1, "wall_s": 2.0, "train/loss": 1.5},
]


@pytest.fixture(scope="module")
def untracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untracked")
    assert call(*RUN, "tracking=off", f"output_root={folder}") == 0
    return only_run(folder)


def answer(status: int) -> Callable[[Server], None]:
    return lambda server: setattr(server, "status", status)


SYNC = "make sync EXPERIMENT=adhoc PRESET=quick"
FAILURES: dict[str, tuple[Callable[[Server], None], str]] = {
    "killed": (Server.kill, "TimeoutError"),
    "hangs": (answer(0), "TimeoutError"),
    "broken": (answer(500), "TimeoutError"),
    "key expired": (answer(403), "the server refused it"),
}
"""What happens to the server once a run has begun, and what is said at the run's end."""


@pytest.mark.parametrize("failure", FAILURES)
def test_a_server_that_fails_costs_a_run_nothing_but_the_upload(
    failure: str,
    server: Server,
    untracked: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fail, reason = FAILURES[failure]
    server.then = lambda: fail(server)
    assert call(*RUN, "tracking=online") == 0
    run_dir = only_run(tmp_path / "outputs")
    assert lines_of(run_dir) == lines_of(untracked)
    ours, theirs = (read_json(path / "summary.json") for path in (run_dir, untracked))
    assert without_times([ours]) == without_times([theirs])

    [file] = tmp_path.glob("outputs/adhoc/quick/wandb/run-*/*.wandb")
    rows = without_kinds(history(read_wandb(file)))
    assert rows == records.read_rows(run_dir / records.METRICS)
    assert server.lines == {}
    if server.status == 0:
        assert server.hanging  # to this moment: nobody waited for an answer
        assert not server.mended.is_set()
    [line] = [said.getMessage() for said in caplog.records if said.name == mirror.__name__]
    assert line.startswith(f"W&B has not all of the run; `{SYNC}` uploads it later: {reason}")
    assert "\n" not in line


def make_record(seed: int, rows: list[records.Row], ended: bool) -> records.Run:
    """A run of `adhoc`, as training would leave it."""
    recorded = config.to_dict(tiny_config(f"seed={seed}"))
    run_dir = Path("outputs/adhoc/quick/runs", f"residual-8-tiny-s{seed}")
    shutil.rmtree(run_dir, ignore_errors=True)
    writer = records.Writer(run_dir, recorded, {"git_commit": "c0ffee"})
    for row in rows:
        writer.write(row)
    writer.close()
    if ended:
        writer.finish({"status": records.FINISHED, "parameters": 4711})
    return records.read_run(run_dir)


def id_of(run: records.Run) -> str:
    cfg = config.from_dict(run.config)
    return mirror.id_of(cfg, run.name, config.config_hash(cfg))


def sync(capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit status, stdout without the runs' addresses, stderr."""
    status = cli.guard(lambda: copies.sync_study(Path("outputs/adhoc/quick")))
    out, err = capsys.readouterr()
    return status, re.sub("^W&B: .*/runs/.*\n", "", out), err


def test_sync_uploads_each_row_once_however_often(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    study, project = Path("outputs/adhoc/quick"), f"{server.url}/student/degradation"
    first, second = make_record(0, ROWS, True), make_record(1, ROWS[:2], False)
    for run in (first, second):
        assert copies.copy_run(run, study, "offline")
    assert sync(capsys) == (0, f"2 of 2 runs uploaded, 0 had been: {project}\n", "")
    assert server.rows(id_of(first)) == ROWS
    assert server.rows(id_of(second)) == ROWS[:2]
    assert list(study.glob("wandb/offline-run-*")) == []  # so `wandb sync` uploads none again
    assert server.summaries[id_of(first)]["parameters"] == 4711

    asked = len(server.requests)
    assert sync(capsys) == (0, f"0 of 2 runs uploaded, 2 had been: {project}\n", "")
    assert len(server.requests) == asked

    second = make_record(1, ROWS, True)  # continued, offline
    assert copies.copy_run(second, study, "offline")
    assert sync(capsys) == (0, f"1 of 2 runs uploaded, 1 had been: {project}\n", "")
    assert server.rows(id_of(second)) == ROWS


def test_a_run_made_anew_is_another_one_for_the_server(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mixed with the first it would be neither; both are still there to be compared."""
    first = make_record(0, ROWS, True)
    assert sync(capsys)[0] == 0
    other = [row | {"train/loss": row["train/loss"] + 5} for row in ROWS]
    for again, rows in (("-again1", other), ("-again2", ROWS)):
        make_record(0, rows, True)
        assert sync(capsys)[1].startswith("1 of 1 runs uploaded, 0 had been: ")
        assert server.rows(id_of(first)) == ROWS
        assert server.rows(id_of(first) + again) == rows
    later = [row | {"wall_s": row["wall_s"] + 1} for row in ROWS]
    make_record(0, later, True)  # the same numbers at another time
    assert sync(capsys)[1].startswith("0 of 1 runs uploaded, 1 had been: ")


def test_an_online_run_made_anew_is_another_one_too(server: Server, tmp_path: Path) -> None:
    assert call(*RUN, "tracking=online") == 0
    run_dir = only_run(tmp_path / "outputs")
    run = records.read_run(run_dir)
    shutil.rmtree(run_dir)
    assert call(*RUN, "tracking=online") == 0
    first, second = server.lines
    assert first == id_of(run)
    assert without_times(server.rows(second)) == without_times(server.rows(first))


def test_a_run_made_anew_offline_and_continued_online_is_another_one_too(server: Server) -> None:
    study, first = Path("outputs/adhoc/quick"), make_record(0, ROWS, True)
    copies.copy_run(first, study, "online")
    other = [row | {"train/loss": row["train/loss"] + 5} for row in ROWS]
    begun = make_record(0, other[:2], False)
    copies.copy_run(begun, study, "offline")
    continued = make_record(0, other, True)
    copies.copy_run(continued, study, "online")
    assert server.rows(id_of(first)) == ROWS
    assert server.rows(id_of(first) + "-again1") == other


def test_what_the_server_has_is_known_after_an_upload_that_was_killed(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    study, run = Path("outputs/adhoc/quick"), make_record(0, ROWS, True)
    copies.copy_run(run, study, "online")
    before = uploads.read(study, id_of(run))
    assert before is not None
    with (
        contextlib.suppress(KeyboardInterrupt),
        mirror.of_run(
            tiny_config("seed=0", "tracking.mode=online"), run_name=run.name, arm=run.arm,
            config_hash=id_of(run)[-8:], study_dir=study, rows_so_far=ROWS[:1],
        ),
    ):  # fmt: skip
        assert uploads.read(study, id_of(run)) == before
        raise KeyboardInterrupt
    make_record(0, [row | {"train/loss": 9.0} for row in ROWS], True)
    assert "1 of 1 runs uploaded, 0 had been: " in sync(capsys)[1]
    assert server.rows(id_of(run)) == ROWS


def test_a_run_that_the_server_refuses_keeps_no_other_from_it(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_record(seed, ROWS, True) for seed in (0, 1, 2)]
    server.deleted = id_of(runs[0])
    status, out, err = sync(capsys)
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith(f"error: {runs[0].name}: W&B cannot start online: ")
    assert err.endswith(" was previously created and deleted\n")
    assert out.startswith("2 of 3 runs uploaded, 0 had been: ")
    assert set(server.lines) == {id_of(run) for run in runs[1:]}

    with mirror.of_run(
        config.from_dict(runs[0].config | {"tracking": {"mode": "online"}}),
        run_name=runs[0].name, arm=runs[0].arm, config_hash=id_of(runs[0])[-8:],
        study_dir=tmp_path,
    ) as copy:  # fmt: skip
        assert copy.alive
        assert copy.url is None  # offline
    assert not starting.is_away()


def test_where_wandbs_folder_cannot_be_had_a_run_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wandb = tmp_path / "outputs/adhoc/quick/wandb"
    wandb.parent.mkdir(parents=True)
    wandb.touch()  # or somebody else's, which stops everyone but root
    assert call(*RUN, "tracking=offline") == 0
    assert lines_of(only_run(tmp_path / "outputs"))[-1]["iteration"] == 20


def test_sync_ends_what_an_online_run_could_not_send(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.then = lambda: setattr(server, "status", 403)
    assert call(*RUN, "tracking=online") == 0
    run = records.read_run(only_run(tmp_path / "outputs"))
    server.then, server.status = lambda: None, 200
    capsys.readouterr()
    project = f"{server.url}/student/degradation"
    assert sync(capsys) == (0, f"1 of 1 runs uploaded, 0 had been: {project}\n", "")
    assert without_kinds(server.rows(id_of(run))) == run.rows
    assert server.exits[id_of(run)] == 0
    assert len(list(tmp_path.glob("outputs/adhoc/quick/wandb/run-*"))) == 1  # the older is gone


def test_sync_where_the_server_is_away_is_one_line_and_loses_nothing(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_record(0, ROWS, True)
    assert copies.copy_run(run, Path("outputs/adhoc/quick"), "offline")
    server.kill()
    status, out, err = sync(capsys)
    assert (status, out) == (2, "")
    reason = f"W&B's server {server.url}: no connection"
    assert err == f"error: W&B cannot start online: ConnectionError: {reason}\n"
    [file] = Path("outputs/adhoc/quick/wandb").glob("offline-run-*/*.wandb")
    assert history(read_wandb(file)) == ROWS


def test_sync_without_a_key_or_runs_is_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = Path("results", "adhoc", "quick", "runs", "plain-8-s0")
    committed.mkdir(parents=True)  # somebody else's, who did not ask for it
    (committed / "config.yaml").write_text("{}")
    assert sync(capsys) == (2, "", "error: adhoc/quick: no runs in outputs/adhoc/quick\n")
    make_record(0, ROWS, True)
    monkeypatch.delenv("WANDB_API_KEY")
    line = "error: W&B: no key here; `wandb login` asks for one and keeps it, or set WANDB_API_KEY"
    assert sync(capsys) == (2, "", f"{line}\n")
    assert server.requests == []
    assert not Path("outputs/adhoc/quick/wandb").exists()


@pytest.mark.parametrize(
    ("study", "command"),
    [
        ("outputs/lesion/paper", "make sync EXPERIMENT=lesion PRESET=paper"),
        (
            "/big disk/lesion/paper",
            "python scripts/sync.py --experiment=lesion --preset=paper 'output_root=/big disk'",
        ),
    ],
)
def test_what_uploads_a_study_later(study: str, command: str) -> None:
    assert uploads.sync_command(Path(study)) == command


def test_a_sweep_tells_its_address_at_its_first_run_and_at_its_end(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        shutil.rmtree("outputs/adhoc/quick/runs", ignore_errors=True)
        assert call("-m", *RUN, "tracking=online", "seed=0,1") == 0
        out = capfd.readouterr().out
        told = [line for line in out.splitlines() if "http" in line]
        project = f"W&B: {server.url}/student/degradation"
        assert [told[0].partition("/runs/")[0], told[1:]] == [project, [project]]
        assert out.endswith(f"{project}\n")
    assert len(server.runs) == 4  # made anew they are others


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What W&B's agent sets for a command."""
    parameters = tmp_path / "sweep.yaml"
    parameters.write_text("wandb_version: 1\n\nseed:\n  value: 0\n")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "agent123")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(parameters))
    monkeypatch.setenv("WANDB_PROJECT", "degradation")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))


leaks = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""wandb leaves the file with an agent's parameters open."""


@leaks
@pytest.mark.usefixtures("agent")
def test_the_sweep_of_an_agent_sees_its_run_and_keeps_it(
    server: Server,
    untracked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*RUN, "tracking=online") == 0
    run = records.read_run(only_run(tmp_path / "outputs"))
    assert run.name == untracked.name
    assert lines_of(only_run(tmp_path / "outputs")) == lines_of(untracked)
    assert list(server.runs) == ["agent123"]
    assert without_kinds(server.rows("agent123")) == run.rows
    said = server.runs["agent123"]
    assert (said["sweep"], said["jobType"]) == ("sweep1", "train")
    assert list(dashboard.files(Path("outputs/adhoc/quick"))) == [
        id_of(run)[12:]
    ]  # cut, so with its hash

    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.delenv(name)
    uploads.write(Path("outputs/adhoc/quick"), id_of(run), uploads.Note("agent123", "", 0, False))
    assert sync(capsys)[0] == 0  # continued and synced by hand, it stays the agent's run
    assert list(server.runs) == ["agent123"]
    assert without_kinds(server.rows("agent123")) == run.rows


@leaks
def test_a_run_that_has_ended_is_uploaded_for_the_sweep_that_asks_for_it(
    server: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert call(*RUN, "tracking=off") == 0
    before: dict[str, Any] = {
        path.name: path.read_bytes() for path in only_run(tmp_path / "outputs").iterdir()
    }
    request.getfixturevalue("agent")
    assert call(*RUN, "tracking=online") == 0
    run = records.read_run(only_run(tmp_path / "outputs"))
    assert without_kinds(server.rows("agent123")) == run.rows
    assert server.exits == {"agent123": 0}
    after = {path.name: path.read_bytes() for path in only_run(tmp_path / "outputs").iterdir()}
    assert after == before
