"""`hydra/launcher=slurm` on a real Slurm of one node: jobs, preemption, time limits, failures."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.helpers import TINY, call, command, only_run, read_json, read_lines, same_run, start
from tests.slurm_cluster import cluster, end_all_jobs, lacks, slurm, wait_until

from hydra_plugins.degradation_slurm.private import make_private

README = Path(__file__).parents[1] / "README.md"
RUN = ("data=shapes", "tracking=off", *TINY)
SLURM = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.job_name=test")
LONG = (
    *RUN,
    "schedule.iterations=200",
    "schedule.milestones=[150]",
    "trainer.checkpoint_every=20",
    "trainer.record_every=10",
    "trainer.eval_every=100",
)
"""Long enough to be caught in its middle, and held there."""

Held = Callable[..., "subprocess.Popen[str]"]
slow = pytest.mark.slow
needs_submitit = pytest.mark.skipif(not find_spec("submitit"), reason="needs the extra `slurm`")


@pytest.fixture(scope="module")
def cluster_folder() -> Iterator[Path]:
    """Right below /tmp: the path of a socket must be short."""
    if reason := lacks():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    with cluster(folder):
        yield folder
    shutil.rmtree(folder)


@pytest.fixture
def slurm_here(cluster_folder: Path) -> Iterator[None]:
    yield
    end_all_jobs(cluster_folder)


# jobs


AXES = ("model.kind=plain,residual", "seed=0,1")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four runs one after the other."""
    root = tmp_path_factory.mktemp("alone")
    assert call("-m", *RUN, *AXES, f"output_root={root}") == 0
    return root / "adhoc/quick/runs"


def save_as_the_readme_says(folder: Path) -> None:
    """`mine.yaml`, but not into the checkout."""
    [block] = re.findall(r"```yaml\n(defaults: \[slurm\]\n.*?)```", README.read_text(), re.DOTALL)
    path = folder / "hydra/launcher/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(block)


@slow
@needs_submitit
@pytest.mark.usefixtures("slurm_here")
@pytest.mark.parametrize(("runs_per_job", "jobs"), [(2, 2), (8, 1)])
def test_jobs_leave_the_records_of_their_runs_alone(
    runs_per_job: int, jobs: int, alone: Path, tmp_path: Path
) -> None:
    save_as_the_readme_says(tmp_path / "conf")
    mine = ["--config-dir", str(tmp_path / "conf"), "-m", "hydra/launcher=mine"]
    jobs_of = f"hydra.launcher.runs_per_job={runs_per_job}"
    status, out, err = command([*mine, jobs_of, *RUN, *AXES], tmp_path)
    assert (status, [line for line in err.splitlines() if "Error" in line]) == (0, [])
    assert f": 4 runs in {jobs} jobs, logs in outputs/adhoc/quick/slurm/" in out
    study = tmp_path / "outputs/adhoc/quick"
    assert len(list((study / "slurm").glob("*_log.out"))) == jobs
    names = sorted(path.name for path in alone.iterdir())
    assert sorted(path.name for path in (study / "runs").iterdir()) == names
    for name in names:
        same_run(study / "runs" / name, alone / name)


# requeued


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long run without an interruption."""
    root = tmp_path_factory.mktemp("through")
    assert call(*LONG, "model.kind=plain", f"output_root={root}") == 0
    return only_run(root)


@pytest.fixture
def held(slurm_here: None, tmp_path: Path) -> Iterator[Held]:
    """The long run as a job, held when it has got somewhere. Slurm lets it go on: with each other
    signal it sends a SIGCONT.
    """
    begun = []

    def begin(*options: str) -> "subprocess.Popen[str]":
        process = start(["-m", *LONG, "model.kind=plain", *SLURM, *options], tmp_path)
        begun.append(process)
        logs = tmp_path / "outputs/adhoc/quick/slurm"
        wait_until(lambda: process.poll() is not None or rows(tmp_path) > 3, logs)
        assert process.poll() is None, process.communicate()
        os.kill(trainer(), signal.SIGSTOP)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def trainer() -> int:
    """The process of the one job's step."""
    table = slurm("scontrol", "listpids", slurm("squeue", "-h", "-o", "%A"))
    rows = [line.split() for line in table.splitlines()]
    [pid] = [int(pid) for pid, _, step, local, _ in rows if (step, local) == ("0", "0")]
    return pid


def rows(folder: Path) -> int:
    return max(
        (len(read_lines(path)) for path in folder.glob("*/*/*/*/*/metrics.jsonl")), default=0
    )


def ended_as(through: Path, process: "subprocess.Popen[str]", folder: Path) -> None:
    """Status 0 and the record of the run that was left alone, made in two goes."""
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    run_dir = only_run(folder / "outputs")
    same_run(run_dir, through)
    assert read_json(run_dir / "summary.json")["status"] == "finished"
    assert len(read_json(run_dir / "environment.json")["earlier"]) == 1


@slow
@needs_submitit
@pytest.mark.parametrize("partition", ["gpu", "grace"])
def test_a_preempted_job_goes_on_when_the_node_is_free(
    partition: str, held: Held, through: Path, tmp_path: Path
) -> None:
    """`grace` announces it a minute before, and takes a job that ends in this minute for done."""
    process = held(f"hydra.launcher.partition={partition}")
    job = slurm("squeue", "-h", "-o", "%A")
    urgent = ["-p", "urgent", "-c2", "-o", "/dev/null", "--wrap", f"squeue > {tmp_path}/urgent.txt"]
    assert "Submitted" in slurm("sbatch", *urgent)
    ended_as(through, process, tmp_path)
    assert " PD " in next(
        line for line in (tmp_path / "urgent.txt").read_text().splitlines() if job in line
    )


@slow
@needs_submitit
def test_a_job_whose_time_is_up_goes_on(held: Held, through: Path, tmp_path: Path) -> None:
    """Slurm looks at its jobs' limits twice a minute; this one comes near once the run is held."""
    process = held("hydra.launcher.time=10", "hydra.launcher.signal_delay_s=115")
    job, used = slurm("squeue", "-h", "-o", "%A %M").split()
    slurm("scontrol", "update", f"JobId={job}", f"TimeLimit={int(used.partition(':')[0]) + 2}")
    wait_until(lambda: slurm("squeue", "-h", "-o", "%T") != "RUNNING", tmp_path)
    slurm("scontrol", "update", f"JobId={job}", "TimeLimit=10")
    ended_as(through, process, tmp_path)
    [log] = (tmp_path / "outputs/adhoc/quick/slurm").glob("*_log.out")
    assert "Requeued job" in log.read_text()
    assert "(19 remaining timeouts)" in log.read_text()


# failures


@slow
@needs_submitit
@pytest.mark.usefixtures("slurm_here")
def test_a_failing_job_does_not_stop_the_others(tmp_path: Path) -> None:
    arguments = ["-m", *RUN, *SLURM, "model.kind=plain", "model.depth=7,8,9"]
    status, _, err = command(arguments, tmp_path)
    assert status == 2
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert told == [
        f"error: model.depth: {depth}; accepted: even numbers from 8" for depth in (7, 9)
    ]
    assert (only_run(tmp_path / "outputs") / "summary.json").exists()


@slow
@needs_submitit
def test_a_cancelled_job_is_not_queued_again(held: Held, through: Path, tmp_path: Path) -> None:
    process = held()
    slurm("scancel", "--me")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "CANCELLED" in err
    assert slurm("squeue", "-h") == ""
    assert call(*LONG, "model.kind=plain", f"output_root={tmp_path}/outputs") == 0
    same_run(only_run(tmp_path / "outputs"), through)


@slow
@needs_submitit
@pytest.mark.usefixtures("slurm_here")
@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("partition=none", "invalid partition"),
        ("gpus_per_node=9", "Requested node configuration is not available"),
        ("runs_per_job=-1", "hydra.launcher.runs_per_job: -1; accepted: whole numbers from 0"),
        ("time=04:00:00", "hydra.launcher.time: '04:00:00'; accepted: whole numbers from 4"),
    ],
)
def test_a_wrong_option_has_its_line(
    option: str, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("-m", *RUN, *SLURM, "model.kind=plain", f"output_root={tmp_path}")
    assert call(*arguments, f"hydra.launcher.{option}") == 2
    err = capfd.readouterr().err.splitlines()
    [line] = [line for line in err if line.startswith("error: ")]  # sbatch has said its own
    assert told in line


@pytest.mark.parametrize("lacking", ["submitit", "srun"])
def test_without_slurm_it_says_what_is_missing(
    lacking: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if lacking == "srun" and not find_spec("submitit"):
        pytest.skip("needs the extra `slurm`")
    monkeypatch.setenv("PATH", str(tmp_path))
    if lacking == "submitit":
        monkeypatch.setitem(sys.modules, "submitit", None)
    assert call("-m", *RUN, *SLURM, "model.kind=plain", f"output_root={tmp_path}") == 2
    err = capfd.readouterr().err
    assert err.startswith("error: hydra/launcher: slurm")
    assert lacking in err
    assert len(err.splitlines()) == 1


# the folder that holds pickles


@pytest.fixture
def no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is submitted goes nowhere: `srun` is there, `sbatch` takes no job."""
    for name in ("srun", "sbatch"):
        (tmp_path / name).write_text("#!/bin/sh\necho no cluster here >&2; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


def spoil_folder(folder: Path, change: str) -> None:
    """A change that lets another user put files there."""
    folder.mkdir(mode=0o700, parents=True)
    if change == "another's":
        os.chown(folder, 65534, -1)
    elif change == "below another's":
        os.chown(folder.parent, 65534, -1)
    elif change == "below an open one":
        folder.parent.chmod(0o777)
    elif change == "below a group's":
        os.chown(folder.parent, -1, 65534)
        folder.parent.chmod(0o775)
    elif change == "linked from an open one":
        real = folder.rename(folder.parent.parent / "elsewhere")
        folder.symlink_to(real)
        folder.parent.chmod(0o777)
    else:
        folder.chmod(int(change, 8))


CHANGES = {
    "another's": "is of user ",
    "below another's": "which is of user ",
    "below an open one": "others can write to (mode 777)",
    "below a group's": "others can write to (mode 775)",
    "linked from an open one": "others can write to (mode 777)",
    "0770": "is open to others (mode 770)",
    "0755": "is open to others (mode 755)",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_others_can_change_is_no_folder_for_pickles(
    change: str, tmp_path: Path
) -> None:
    if os.geteuid() and ("another's" in change or "group's" in change):
        pytest.skip("needs to be root, to give a folder away")
    folder = tmp_path / "outputs" / "study" / "slurm"
    spoil_folder(folder, change)
    with pytest.raises(PermissionError) as caught:
        make_private(folder)
    assert str(caught.value).startswith(f"{folder}: ")
    assert CHANGES[change] in str(caught.value)


def test_a_folder_for_pickles_is_made_for_its_owner(tmp_path: Path) -> None:
    """Also where files are left to all of a group, and below a folder like /tmp."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    folder = tmp_path / "shared" / "study" / "slurm"
    before = os.umask(0o002)
    try:
        make_private(folder)
        make_private(folder)  # and found again
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700


@needs_submitit
@pytest.mark.usefixtures("no_cluster")
def test_no_job_is_handed_over_where_others_can_write(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "adhoc" / "quick" / "slurm"
    spoil_folder(folder, "0777")
    arguments = ("-m", *RUN, *SLURM, "model.kind=plain", f"output_root={tmp_path}")
    assert call(*arguments) == 2
    assert capfd.readouterr().err.startswith(f"error: hydra.launcher.folder: {folder}: is open")
    assert list(folder.iterdir()) == []
    folder.chmod(0o700)
    assert call(*arguments) == 2
    assert "hydra/launcher: slurm took no job: " in capfd.readouterr().err
