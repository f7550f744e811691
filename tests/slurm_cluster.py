"""A Slurm of one node, real and of this user's own, on loopback."""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

SBIN = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
DAEMONS = ("munged", "slurmctld", "slurmd")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# how long a job that is queued again has to wait, too; 120 s unless told, and not below 5
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=20
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES PriorityTier=1
PartitionName=grace Nodes=ALL PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""


def lacks() -> str:
    """Why there can be no Slurm here; empty if there can."""
    missing = [name for name in (*DAEMONS, "sbatch") if not shutil.which(name, path=SBIN)]
    return f"no {', '.join(missing)} here: apt install slurm-wlm munge" if missing else ""


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """The daemons, in the foreground and with all they write in `folder`; no job outlives them.
    `SLURM_CONF` in the environment names the cluster to every command.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir()
    conf, key, socket_path = folder / "slurm.conf", folder / "munge.key", folder / "munge.socket"
    host = socket.gethostname().partition(".")[0]
    conf.write_text(
        CONF.format(host=host, user=getpass.getuser(), folder=folder, ports=free_ports(2))
    )
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # for Slurm, a GPU
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    own = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "seed", "log")]
    arguments = {
        "munged": ["--foreground", "--force", f"--socket={socket_path}", *own],
        "slurmctld": ["-D", "-f", str(conf)],
        "slurmd": ["-D", "-f", str(conf)],
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("SLURM_CONF", str(conf))
        for name in DAEMONS:
            stack.enter_context(daemon(name, arguments[name], folder / f"{name}.out"))
            if name == "munged":
                wait_until(socket_path.exists, folder)
        wait_until(lambda: "idle" in slurm("sinfo", "-h", "-o", "%T"), folder)
        try:
            yield
        finally:
            end_all_jobs(folder)


def end_all_jobs(folder: Path) -> None:
    slurm("scancel", "--me")
    wait_until(lambda: not slurm("squeue", "-h"), folder)


@contextlib.contextmanager
def daemon(name: str, arguments: Sequence[str], log: Path) -> Iterator[None]:
    path = shutil.which(name, path=SBIN)
    assert path, lacks()
    with log.open("w") as output:
        process = subprocess.Popen([path, *arguments], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def slurm(*arguments: str) -> str:
    """What a command of Slurm prints, errors too."""
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout.strip()


def wait_until(holds: Callable[[], object], logs: Path, limit_s: float = 600) -> None:
    """Fails with the end of every log in a folder."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            files = [path for path in logs.glob("*") if path.suffix in (".out", ".err", ".log")]
            pytest.fail("\n\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in files))
        time.sleep(0.1)
