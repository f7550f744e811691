"""What a run lets out and what it may do: no keys, no network, no code that a config names."""

import ast
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf.errors import OmegaConfBaseException
from tests.helpers import TINY, call

from degradation import cli, config, named_code, records
from degradation.cli import conf_dir
from degradation.config import ConfigError
from degradation.records import RecordError

KEY = "0123456789abcdef" * 2 + "01234567"
"""Of the form that W&B's keys have."""
SECRETS = {
    "WANDB_API_KEY": KEY,
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYcanary",
    "HF_TOKEN": "hf_canaryCanaryCanaryCanaryCanary",
    "SOME_SERVICE": "https://somebody:canary-password@service.example.org",
}
TYPED = "canary-typed-on-the-command-line"
RUN = (*("data=shapes", "tracking=offline"), *TINY)
SWEEP = ("-m", *RUN, "hydra/launcher=pool", "seed=1,2", f"+hydra.job.env_set.TOKEN={TYPED}")
IN_NAMESPACE = """
ip link set lo up && ip route add local default dev lo && ip -6 route add local default dev lo
count() { awk '/lo:/ {print $10}' /proc/net/dev > "$1"; }
count before
"$@" > out 2> err; status=$?
count after
python3 -c 'import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("8.8.8.8", 53))'
count control
exit $status
"""
"""Packets to anywhere go to `lo`, the only device there is, and are counted there."""


@dataclass
class Ran:
    folder: Path
    runs: int
    has_namespace: bool
    packets: tuple[int, ...] = ()
    """After the set-up, after the command, and after one packet that was sent."""


@pytest.fixture(
    scope="module",
    params=[(RUN, 1), pytest.param((SWEEP, 2), marks=pytest.mark.slow)],
    ids=["run", "sweep"],
)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The command, offline, of somebody who has keys everywhere; without a network where that can
    be had.
    """
    arguments, runs = request.param
    folder = tmp_path_factory.mktemp("ran")
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    (home / ".netrc").chmod(0o600)
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    look = [*unshare, "sh", "-c", "ip link set lo up"]
    has_namespace = (
        bool(shutil.which("unshare"))
        and not subprocess.run(look, check=False, capture_output=True).returncode
    )
    shell = [*(unshare if has_namespace else []), "sh", "-c", IN_NAMESPACE, "sh"]
    kept = {name: text for name, text in os.environ.items() if not name.startswith("WANDB")}
    done = subprocess.run(
        [*shell, sys.executable, "-m", "degradation", *arguments],
        cwd=folder, env=kept | SECRETS | {"HOME": str(home)}, check=False,
        stderr=subprocess.DEVNULL,  # of `ip`, where there is no namespace
    )  # fmt: skip
    assert (done.returncode, (folder / "err").read_text()) == (0, "")
    counts = [(folder / name).read_text() for name in ("before", "after", "control")]
    return Ran(folder, runs, has_namespace, tuple(int(count or 0) for count in counts))


def test_no_byte_that_is_written_holds_a_secret(ran: Ran) -> None:
    written = {path: path.read_bytes() for path in ran.folder.rglob("*") if path.is_file()}
    assert len([path for path in written if path.suffix == ".wandb"]) == ran.runs
    assert len([path for path in written if path.name == "environment.json"]) == ran.runs
    for path, content in written.items():
        for secret in (*SECRETS.values(), TYPED):
            is_hydras = path.name == "multirun.yaml" and secret == TYPED  # what was typed to it
            assert is_hydras or secret.encode() not in content, (path, secret)


def test_offline_nothing_is_sent_by_any_process(ran: Ran) -> None:
    if not ran.has_namespace:
        pytest.skip("no network namespaces here (unshare --user --net)")
    before, after, control = ran.packets
    assert after == before
    assert control > after  # or the counter would show nothing


@pytest.mark.parametrize(
    "override",
    ["tracking.project=${oc.env:AWS_SECRET_ACCESS_KEY}", "optim.lr=${table:../x,quick,a}"],
)
def test_an_override_looks_nothing_up_outside(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    override: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    assert call(*RUN, "tracking=off", override) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "canary" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("_target_: os.system", "_target_: no such key"),
        ("data: {_target_: os.system}", "data._target_: no such key"),
        ("tracking: {project: '${oc.env:HOME}'}", "tracking.project: "),
        (
            "seed: !!python/object/apply:os.system ['touch sprung']",
            "config.yaml: not a YAML mapping",
        ),
    ],
)
def test_the_config_of_a_run_is_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, named: str
) -> None:
    """As `scripts/probe.py` reads somebody's run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(line)
    with pytest.raises((ConfigError, RecordError, OmegaConfBaseException)) as caught:
        config.from_dict(records.read_config(tmp_path) or {})
    assert cli.one_line(caught.value).startswith(named) or named in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(conf_dir(), tmp_path / "conf"))


def test_the_files_of_conf_name_no_code(conf: Path) -> None:
    named_code.refuse(conf, [])


EVIL = "hydra: {callbacks: {mine: {_target_: pathlib.Path.touch, self: sprung}}}"
"""Hydra would make the callback before anything of ours begins."""


def line_about(conf: Path, path: Path, *arguments: str) -> str:
    """That refuses a file; it names it first."""
    with pytest.raises(ConfigError) as caught:
        named_code.refuse(conf, arguments)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("optim: {lr: {_target_: os.system}}", "_target_"),
        ("hydra: {callbacks: {mine: {_target_: os.system, command: id}}}", "hydra.callbacks.mine"),
        ("hydra: {launcher: {_target_: mine.Launcher}}", "hydra.launcher._target_"),
        ("hydra: {job: {env_set: {LD_PRELOAD: mine.so}}}", "hydra.job.env_set.LD_PRELOAD"),
        ("hydra: {job_logging: {handlers: {a: {'()': os.system}}}}", "hydra.job_logging"),
        ("hydra: mine", "hydra.hydra"),
        ("hydra: {sweeper: {params: {+hydra.job.env_set.PATH: /evil}}}", "+hydra.job.env_set.PATH"),
        ("hydra: {sweeper: {params: {seed@hydra: x}}}", "seed@hydra"),
        ("hydra: {sweeper: {params: {+variant: '../../evil/x'}}}", "../../evil/x"),
        ("hydra: {sweeper: {params: '${data}'}}", "hydra.sweeper.params"),
        ("defaults: [{'/experiment/other@hydra.callbacks': x}]", "@hydra.callbacks"),
        ("defaults: ['/evil/env@hydra.job.env_set']", "/evil/env@hydra.job.env_set"),
        ("defaults: [{'/data': 'x@hydra.job'}]", "x@hydra.job"),
        ("defaults: ['/../evil/x']", "/../evil/x"),
        ("defaults: ['//evil/x']", "//evil/x"),
        ("defaults: [{'override /data': ['../../evil/x']}]", "../../evil/x"),
        ("defaults: ['/${data}/x']", "/${data}/x"),
        ("# @package hydra.job_logging\nhandlers: {}", "@package hydra.job_logging"),
        ('"\\x5ftarget_": os.system', "_target_"),
        ("a: [b", "not YAML of plain values"),
    ],
)
def test_an_experiment_that_names_code(conf: Path, text: str, named: str) -> None:
    path = conf / "experiment" / "mine.yaml"
    path.write_text(text)
    assert named in line_about(conf, path)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("launcher", "job: {_target_: hydra_plugins.degradation_slurm.os.symlink, dst: sprung}"),
        ("launcher", "_target_: hydra_plugins.degradation_slurm.os.symlink"),
        ("launcher", "job: {_target_: hydra_plugins.degradation_fleet.FleetLauncher}"),
        ("callbacks", "_target_: degradation.studies.listing.Sweep"),
        ("callbacks", "listing: {_target_: degradation.studies.listing.sys.exit}"),
    ],
)
def test_a_file_for_hydra_names_what_ours_do_and_only_there(
    conf: Path, place: str, text: str
) -> None:
    path = conf / "hydra" / place / "mine.yaml"
    path.write_text(f"defaults: [slurm]\n{text}\n")
    assert "'_target_'" in line_about(conf, path)


@pytest.mark.parametrize(
    "folder", ["hydra", "hydra/job", "Hydra/job", "hydra.job", "a/_global_hydra/job", "a/hydra/job"]
)
def test_a_folder_whose_files_would_be_hydras_own(conf: Path, folder: str) -> None:
    path = conf / folder / "mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("env_set: {PATH: /evil}")
    assert "accepted: hydra/launcher, hydra/callbacks" in line_about(conf, path)


def test_a_linked_folder_is_looked_at(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.yaml").write_text(EVIL)
    (conf / "experiment" / "linked").symlink_to(tmp_path / "elsewhere")
    line_about(conf, conf / "experiment" / "linked" / "mine.yaml")


def test_a_link_that_leads_back_has_an_end(conf: Path) -> None:
    for name in ("one", "other"):
        (conf / "experiment" / name).symlink_to(conf)
    assert "a link to a folder that holds it" in line_about(conf, conf)


@pytest.mark.parametrize(
    "option", ["--config-dir={}", "--config-path={}", "-cd {}", "--config-d {}"]
)
def test_a_folder_that_the_command_names_is_looked_at(
    conf: Path, tmp_path: Path, option: str
) -> None:
    path = tmp_path / "mine" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("seed: 1")
    arguments = ["-m", *option.format(tmp_path / "mine").split(), "+experiment=mine"]
    named_code.refuse(conf, arguments)
    path.write_text(EVIL)
    line_about(conf, path, *arguments)
    named_code.refuse(conf, ["+experiment=mine"])


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_the_command_looks_at_conf_before_hydra_does(
    conf: Path, tmp_path: Path, is_elsewhere: bool
) -> None:
    """In a checkout of its own, and in a folder that only the command knows."""
    shutil.copytree(conf_dir().parent / "src", tmp_path / "src")
    mine = conf / "experiment" / "mine.yaml"
    mine.write_text(f"# @package _global_\n{EVIL}\n")
    if is_elsewhere:
        (tmp_path / "mine" / "experiment").mkdir(parents=True)
        mine = mine.rename(tmp_path / "mine" / "experiment" / "mine.yaml")
    before = ["--config-dir", str(tmp_path / "mine")] if is_elsewhere else []
    left = sorted(path.name for path in tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "degradation", *before, *RUN, "+experiment=mine"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {mine}: 'hydra.callbacks.mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == left


NOWHERE = {
    *("eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "np.load"),
    *("os.system", "tar.extract", "tar.extractall", "OmegaConf.load"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.safe_load"),
}
GUARDED = {
    "yaml.load": {"src/degradation/plain.py"},
    "torch.load": {"src/degradation/checkpoint.py", "src/degradation/distributed.py"},
    "datasets.CIFAR10": {"src/degradation/benchmark/usual.py"},
    "CIFAR10": {"src/degradation/data/cifar10.py"},
}
"""What unpickles or builds whatever it is given, and the files that see to it first."""


def test_what_could_run_code_stands_where_it_is_guarded() -> None:
    root = conf_dir().parent
    found: dict[str, set[str]] = {}
    for path in [*root.glob("src/**/*.py"), *root.glob("scripts/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name, keywords = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
            if name in NOWHERE | GUARDED.keys():
                found.setdefault(name, set()).add(str(path.relative_to(root)))
            assert not keywords.keys() & {"shell", "allow_pickle"}, path
            assert name != "torch.load" or ast.unparse(keywords["weights_only"]) == "True", path
    assert found == GUARDED
