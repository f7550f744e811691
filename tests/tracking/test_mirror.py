"""The W&B mirror, checked by reading back the files that wandb itself wrote."""

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.wandb_server import KEY, serving

from degradation import records
from degradation.config import (
    Config,
    ConfigError,
    DataConfig,
    ModelConfig,
    TrackingConfig,
    TrainerConfig,
)
from degradation.tracking import account, mirror

ROWS: list[records.Row] = [
    {"iteration": 10, "epoch": 0.2, "lr": 0.1, "wall_s": 1.5, "train/loss": 2.302585092994046},
    {"iteration": 20, "epoch": 0.4, "lr": 0.1, "wall_s": 2.5, "eval/train_error_pct": 89.84},
    {"iteration": 30, "epoch": 0.6, "lr": 0.01, "wall_s": 3.5, "probe/grad-norm/stem": 1e-9},
]


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who never had anything to do with W&B, wherever the tests run."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.chdir(tmp_path)


def config(seed: int = 0, mode: str = "offline") -> Config:
    return Config(
        model=ModelConfig(kind="plain", depth=56),
        data=DataConfig(name="shapes", root="/home/somebody/data"),
        tracking=TrackingConfig(mode=mode),
        seed=seed,
        experiment="degradation",
        preset="quick",
        output_root="/home/somebody/outputs",
    )


def arguments(study: Path, seed: int = 0) -> dict[str, Any]:
    name = f"plain-56-s{seed}"
    return {"run_name": name, "arm": "plain-56", "config_hash": "0a1b2c3d", "study_dir": study}


def mirrored(study: Path, seed: int = 0) -> list[Any]:
    """The records of the one offline copy of a run, in the order of the file."""
    [path] = study.glob(f"wandb/offline-run-*/run-degradation-quick-plain-56-s{seed}-*.wandb")
    return read_wandb(path)


def read_wandb(path: Path) -> list[Any]:
    """A `.wandb` file: 7 bytes of header, then LevelDB's log format, one protobuf a record.

    Blocks of 32 KiB hold chunks of checksum (4 bytes), length (2), type (1) and data; types 1 and 4
    end a record, and a block's last 6 bytes or fewer are padding.
    """
    from wandb.proto import wandb_internal_pb2 as protobuf

    content = path.read_bytes()
    assert content[:4] == b":W&B"
    found, record, at = [], b"", 7
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(vars(protobuf)["Record"].FromString(record))
            record = b""
    return found


def history(found: list[Any]) -> list[records.Row]:
    """The logged rows without what W&B adds (`_step`, `_runtime`, `_timestamp`)."""
    rows = [record.history for record in found if record.HasField("history")]
    items = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item}
        for row in rows
    ]
    for row, item in zip(rows, items, strict=True):
        assert row.step.num == item["iteration"]
    return [{k: v for k, v in item.items() if not k.startswith("_")} for item in items]


EVALUATED = {"train": "eval/train_subset_error_pct", "test": "test/subset_error_pct"}
"""The curves of preset `quick`, by the names under which W&B has them again."""


def without_kinds(
    rows: list[records.Row], curves: Mapping[str, str] = EVALUATED
) -> list[records.Row]:
    """W&B's rows as the record has them, once it is seen that what they have more are the curves by
    the kind of the net, wherever there are some.
    """
    names = ("train_", "test_", "running_")
    found = [{k: v for k, v in row.items() if not k.startswith(names)} for row in rows]
    more = [{k: v for k, v in row.items() if k.startswith(names)} for row in rows]
    [kind] = {key.partition("/")[2] for row in more for key in row} or {""}
    assert more == [
        {f"{name}_error_pct/{kind}": row[key] for name, key in curves.items() if key in row}
        for row in found
    ]
    return found


def config_in(found: list[Any]) -> dict[str, Any]:
    """What the run was given; long names of runs are cut in W&B."""
    [run] = [record.run for record in found if record.HasField("run")]
    return {item.key: json.loads(item.value_json) for item in run.config.update}


def exit_codes(found: list[Any]) -> list[int]:
    return [record.exit.exit_code for record in found if record.HasField("exit")]


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`code` in a process of its own, with this module as `test_mirror`."""
    root = Path(__file__).parents[2]
    paths = [str(root), str(Path(__file__).parent), str(Path(mirror.__file__).parents[2])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"} | environment
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | own,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


LOG_ALL = """
import sys
from pathlib import Path
from test_mirror import ROWS, arguments, config
from degradation.tracking import mirror
with mirror.of_run(config(int(sys.argv[2])), **arguments(Path(sys.argv[1]), int(sys.argv[2]))) as copy:
    for row in ROWS:
        copy.log(row)
"""  # noqa: E501


def test_an_offline_run_has_exactly_the_rows_of_the_record(tmp_path: Path) -> None:
    run_dir = tmp_path / "runs" / "plain-56-s0"
    writer = records.Writer(run_dir, {}, {})
    with mirror.of_run(config(), **arguments(tmp_path), git_commit="c0ffee") as copy:
        for row in ROWS:
            writer.write(row)
            copy.log(row)
        copy.summarize({"status": "finished", "parameters": 853018})
    writer.close()

    found = mirrored(tmp_path)
    assert history(found) == records.read_rows(run_dir / records.METRICS) == ROWS
    assert exit_codes(found) == [0]

    [run] = [record.run for record in found if record.HasField("run")]
    assert run.run_id == "degradation-quick-plain-56-s0-0a1b2c3d"
    assert (run.project, run.run_group, run.job_type) == ("degradation", "plain-56", "train")
    assert list(run.tags) == ["plain", "56", "quick", "shapes"]
    given = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert given["model"]["depth"] == 56
    assert (given["config_hash"], given["git_commit"]) == ("0a1b2c3d", "c0ffee")

    axes = [record.metric for record in found if record.HasField("metric")]
    assert ("*", "iteration") in [(axis.glob_name, axis.step_metric) for axis in axes]

    summary: dict[str, Any] = {}
    for record in found:
        for item in record.summary.update:
            summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    assert summary["status"] == "finished"
    assert summary["parameters"] == 853018
    assert summary["eval/train_error_pct"] == 89.84


CURVES: list[records.Row] = [
    {"iteration": 10, "train/error_pct": 90.5, "train/loss": 2.25},
    {"iteration": 20, "train/error_pct": 80.5, "eval/train_subset_error_pct": 70.5}
    | {"eval/train_subset_loss": 2.0, "test/subset_error_pct": 75.5, "test/error_pct": 76.5},
    {"iteration": 30, "train/error_pct": 70.5, "eval/train_subset_error_pct": 60.5}
    | {"eval/train_error_pct": 61.5, "test/subset_error_pct": 65.5, "test/error_pct": 66.5},
]
"""A row between two evaluations, one at an evaluation, and the last with all that there is."""


@pytest.mark.parametrize(
    ("kind", "trainer", "added"),
    [
        (
            "plain",
            {"eval_every": 10, "curve_test_images": 500},
            {
                "train_error_pct/plain": [None, 70.5, 60.5],
                "test_error_pct/plain": [None, 75.5, 65.5],
            },
        ),
        (
            "residual",
            {"eval_every": 10, "curve_test_images": 0},
            {
                "train_error_pct/residual": [None, 70.5, 60.5],
                "test_error_pct/residual": [None, 76.5, 66.5],
            },
        ),
        (
            "plain",
            {"eval_every": 0, "full_eval_every": 30},
            {
                "train_error_pct/plain": [None, None, 61.5],
                "test_error_pct/plain": [None, 76.5, 66.5],
            },
        ),
        (
            "plain",
            {"eval_every": 0, "full_eval_every": 0},
            {"running_error_pct/plain": [90.5, 80.5, 70.5]},
        ),
    ],
)
def test_the_curves_are_there_by_kind_too(
    kind: str, trainer: dict[str, Any], added: dict[str, list[float | None]], tmp_path: Path
) -> None:
    cfg = dataclasses.replace(config(), trainer=TrainerConfig(**trainer))
    cfg.model.kind = kind
    with mirror.of_run(cfg, **arguments(tmp_path), rows_so_far=CURVES[:2]) as copy:
        copy.log(CURVES[2])
    logged = history(mirrored(tmp_path))
    wanted = [
        row | {key: value for key, values in added.items() if (value := values[number]) is not None}
        for number, row in enumerate(CURVES)
    ]
    assert logged == wanted  # `history` looks at the steps


def test_of_nets_without_errors_the_curves_are_losses(tmp_path: Path) -> None:
    cfg = config()
    cfg.model.net = "autoencoder"
    row = {"iteration": 1, "eval/train_subset_loss": 0.25, "test/subset_loss": 0.5}
    with mirror.of_run(cfg, **arguments(tmp_path)) as copy:
        copy.log(row)
    assert history(mirrored(tmp_path)) == [row | {"train_loss/plain": 0.25, "test_loss/plain": 0.5}]


def test_the_copy_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    with mirror.of_run(config(), **arguments(tmp_path)) as copy:
        copy.log(ROWS[0])
    text = "\n".join(map(str, mirrored(tmp_path)))
    assert "plain-56" in text
    for private in (
        socket.gethostname(),
        "somebody",
        str(tmp_path),
        sys.executable,
        str(Path.cwd()),
    ):
        assert not re.search(rf"\b{re.escape(private)}\b", text)  # W&B's tokens are random letters
    [files] = tmp_path.glob("wandb/offline-run-*/files")
    assert list(files.iterdir()) == []


def test_runs_side_by_side_in_one_process_stay_apart(tmp_path: Path) -> None:
    with (
        mirror.of_run(config(0), **arguments(tmp_path, 0)) as zero,
        mirror.of_run(config(1), **arguments(tmp_path, 1)) as one,
    ):
        for row in ROWS:
            zero.log(row)
            one.log(row | {"lr": 0.5})
    assert history(mirrored(tmp_path, 0)) == ROWS
    assert history(mirrored(tmp_path, 1)) == [row | {"lr": 0.5} for row in ROWS]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_run_that_raises_is_ended_as_failed_and_not_continued_by_the_next(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def fails() -> None:
        with mirror.of_run(config(0), **arguments(tmp_path, 0)) as copy:
            copy.log(ROWS[0])
            raise error

    with pytest.raises(error):
        fails()
    with mirror.of_run(config(1), **arguments(tmp_path, 1)) as copy:
        copy.log(ROWS[1])
    assert (history(mirrored(tmp_path, 0)), exit_codes(mirrored(tmp_path, 0))) == (ROWS[:1], [1])
    assert (history(mirrored(tmp_path, 1)), exit_codes(mirrored(tmp_path, 1))) == (ROWS[1:2], [0])


def test_a_killed_and_continued_run_has_each_row_once(tmp_path: Path) -> None:
    kill = f"    import os, signal\n    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    killed = run_python(LOG_ALL + kill, str(tmp_path), "0")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1

    kept = ROWS[:1]  # the checkpoint stands at iteration 10
    with mirror.of_run(config(), **arguments(tmp_path), rows_so_far=kept) as copy:
        for row in ROWS[1:]:
            copy.log(row | {"wall_s": 9.0})
    assert history(mirrored(tmp_path)) == kept + [row | {"wall_s": 9.0} for row in ROWS[1:]]


def test_continuing_one_run_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    for seed in (0, 10):
        with mirror.of_run(config(seed), **arguments(tmp_path, seed)) as copy:
            copy.log(ROWS[0])
    with mirror.of_run(config(0), **arguments(tmp_path, 0), rows_so_far=ROWS[:1]) as copy:
        copy.log(ROWS[1])
    assert history(mirrored(tmp_path, 0)) == ROWS[:2]
    assert history(mirrored(tmp_path, 10)) == ROWS[:1]


def test_processes_share_the_folder_of_a_study(tmp_path: Path) -> None:
    running = [run_python(LOG_ALL, str(tmp_path), str(seed)) for seed in range(2)]
    assert [process.communicate()[0] for process in running] == ["", ""]
    assert [history(mirrored(tmp_path, seed)) for seed in range(2)] == [ROWS, ROWS]


def test_off_does_not_even_load_wandb(tmp_path: Path) -> None:
    code = LOG_ALL.replace("config(int(sys.argv[2]))", "config(mode='off')")
    process = run_python(code + "print('wandb' in sys.modules)", str(tmp_path), "0")
    assert process.communicate()[0] == "False\n"
    assert not (tmp_path / "wandb").exists()


def test_offline_uses_no_network_even_with_a_key(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if not strace or subprocess.run([strace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs strace and the right to use it")
    trace = tmp_path / "trace"
    command = f"import os, sys; os.execv({strace!r}, sys.argv[1:])"
    options = ["strace", "-f", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)]
    python = [sys.executable, "-c", LOG_ALL, str(tmp_path), "0"]
    process = run_python(command, *options, *python, WANDB_API_KEY=KEY)
    assert process.communicate()[0] == ""
    calls = trace.read_text()
    assert history(mirrored(tmp_path)) == ROWS
    assert "AF_UNIX" in calls  # how wandb's service is reached, so the trace did see it
    assert re.findall(r".*AF_INET.*", calls) == []


@pytest.mark.parametrize(
    ("mode", "environment", "expected"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY}, "online"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "off"),
        ("auto", {"WANDB_API_KEY": ""}, "offline"),
        ("auto", {"WANDB_MODE": "online"}, "offline"),
        ("online", {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "online"),
        ("offline", {"WANDB_API_KEY": KEY}, "offline"),
        ("off", {"WANDB_API_KEY": KEY}, "off"),
    ],
)
def test_mode(
    mode: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert account.resolve_mode(mode) == expected


def test_mode_from_the_files_of_wandb_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    netrc.chmod(0o600)
    assert account.resolve_mode("auto") == "online"
    own_server = tmp_path / ".config" / "wandb" / "settings"
    own_server.parent.mkdir(parents=True)
    own_server.write_text("[default]\nbase_url = https://wandb.example.org\n")
    assert account.resolve_mode("auto") == "offline"  # the key is for another server
    monkeypatch.setenv("WANDB_BASE_URL", "https://api.wandb.ai")
    assert account.resolve_mode("auto") == "online"
    own_server.write_text("[default]\nmode = offline\n")  # what `wandb offline` writes
    assert account.resolve_mode("auto") == "offline"
    own_server.write_text("no settings file")
    netrc.write_text("machine")
    assert account.resolve_mode("auto") == "offline"


def test_online_without_a_key_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"^tracking.mode: found 'online', but no .* key; .*$"),
        mirror.of_run(config(mode="online"), **arguments(tmp_path)),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_name_with_characters_w_and_b_refuses(tmp_path: Path) -> None:
    given = arguments(tmp_path) | {"run_name": "plain-56-milestones100,200:x-s0"}
    with mirror.of_run(config(), **given) as copy:
        copy.log(ROWS[0])
    [path] = tmp_path.glob("wandb/offline-run-*/run-degradation-quick-plain-56-mile*.wandb")
    assert history(read_wandb(path)) == ROWS[:1]


def test_a_run_goes_on_where_wandb_cannot_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wandb").write_text("a file where the folder should be")
    with mirror.of_run(config(), **arguments(tmp_path), rows_so_far=ROWS[:1]) as copy:
        copy.log(ROWS[1])
        copy.summarize({"status": "finished"})
    [message] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert message.startswith("W&B cannot start offline; the run goes on: ")
    assert "\n" not in message


KILL_THE_SERVICE = """
import os, signal, sys
from pathlib import Path
from test_mirror import ROWS, arguments, config
from degradation.tracking import mirror
study = Path(sys.argv[1])
for seed in (0, 1):
    with mirror.of_run(config(seed), **arguments(study, seed)) as copy:
        copy.log(ROWS[0])
        if seed == 0:
            tasks = Path("/proc/self/task").glob("*/children")
            [service] = [int(child) for task in tasks for child in task.read_text().split()]
            os.kill(service, signal.SIGKILL)
        for row in ROWS[1:]:
            copy.log(row)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the service through /proc")
def test_a_run_goes_on_where_the_service_dies_and_the_next_run_is_whole(tmp_path: Path) -> None:
    process = run_python(KILL_THE_SERVICE, str(tmp_path))
    output = process.communicate()[0]
    assert process.returncode == 0
    assert output
    assert all(line.startswith("W&B") for line in output.splitlines()), output
    assert history(mirrored(tmp_path, 1)) == ROWS


def test_a_server_that_is_away_leaves_the_run_offline(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # closed on leaving, so nobody answers there
    code = LOG_ALL.replace("config(int(sys.argv[2]))", "config(mode='auto')")
    server = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": f"http://127.0.0.1:{port}"}
    second = f"{code}\nsys.argv[2] = '1'\n{code}"  # which does not wait, and has nothing to say
    process = run_python(second, str(tmp_path), "0", **server)
    output = process.communicate()[0]
    assert process.returncode == 0
    assert re.fullmatch(
        r"W&B cannot start online; the run goes on, and `python scripts/sync.py .*` uploads it "
        rf"later: ConnectionError: W&B's server http://127.0.0.1:{port}: no connection\n",
        output,
    )
    assert history(mirrored(tmp_path)) == history(mirrored(tmp_path, 1)) == ROWS
    assert list(tmp_path.glob("wandb/run-*")) == []  # nothing is left of the attempt


def test_online_the_server_gets_each_row_once_also_when_continued(tmp_path: Path) -> None:
    code = LOG_ALL.replace("config(int(sys.argv[2]))", "config(mode='online')")
    broken = code.replace("in ROWS:", "in ROWS[:2]:")
    continued = code.replace("as copy", "rows_so_far=ROWS[:1]) as copy", 1)
    continued = continued.replace("2]))) rows", "2])), rows").replace("in ROWS:", "in ROWS[1:]:")
    with serving() as server:
        for script in (broken, continued):
            key = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}
            process = run_python(script, str(tmp_path), "0", **key)
            said = process.communicate()[0]
            # once a command, which begins with `uploads.tell_anew`
            assert re.fullmatch(rf"W&B: {server.url}/\S+\n" if script == broken else "", said)
    assert list(server.lines) == ["degradation-quick-plain-56-s0-0a1b2c3d"]
    assert server.rows("degradation-quick-plain-56-s0-0a1b2c3d") == ROWS
    sent = "\n".join(server.requests)
    for private in (socket.gethostname(), "somebody", str(tmp_path), sys.executable, KEY):
        assert not re.search(rf"\b{re.escape(private)}\b", sent), private


def test_long_names_are_cut_to_what_wandb_takes_and_stay_different(tmp_path: Path) -> None:
    for seed in (0, 1):
        name = f"plain-56-{'x' * 150}-s{seed}"
        given = arguments(tmp_path) | {"run_name": name, "arm": name, "config_hash": f"{seed:08}"}
        with mirror.of_run(config(seed), **given) as copy:
            copy.log(ROWS[0])
    found = [read_wandb(path) for path in tmp_path.glob("wandb/offline-run-*/*.wandb")]
    runs = [record.run for records in found for record in records if record.HasField("run")]
    for names in zip(*((run.run_id, run.display_name, run.run_group) for run in runs), strict=True):
        assert len(set(names)) == 2
        assert all(len(name) <= 128 for name in names)


def test_only_an_agent_chooses_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "left0ver")
    with mirror.of_run(config(), **arguments(tmp_path)) as copy:
        copy.log(ROWS[0])
    assert history(mirrored(tmp_path)) == ROWS[:1]
