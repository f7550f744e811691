"""Every reader of what a user hands in, with a real input for it."""

import contextlib
import copy
import functools
import gzip
import hashlib
import io
import itertools
import random
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from unittest import mock

import hydra
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from tests.helpers import TINY, fresh_state, noise_data, tiny_config
from tests.torture.mutations import spoil
from tests.torture.trees import spoil_tree

from degradation import (
    checkpoint,
    cli,
    config,
    environment,
    imagenet_family,
    loop,
    named_code,
    records,
)
from degradation.analysis import (
    claims,
    estimands,
    judge,
    rates,
    report_text,
    sources,
    tables,
    verdict_file,
)
from degradation.analysis.curves import Study, StudyError
from degradation.analysis.page import charts, summary
from degradation.checkpoint import CheckpointError
from degradation.config import ConfigError
from degradation.data import archives, cifar10, mnist
from degradation.data.archives import DataError, Sum
from degradation.loop import State
from degradation.records import RecordError
from degradation.studies import lookup, reproduce
from degradation.tracking import account
from degradation.watch import progress, table

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "results" / "depth_sweep" / "quick"
RECORD = (records.CONFIG, records.METRICS, records.SUMMARY, records.ENVIRONMENT)
RUNS = ("plain-18-s0", "residual-18-s1")
JUDGED = (StudyError, RecordError, claims.ClaimsError)
HYDRAS = (ConfigError, HydraException, OmegaConfBaseException)
HASH = "0a1b2c3d"
MEMBERS = {"one": b"first " * 300, "two": b"second"}
SUMS = {name: Sum(len(b), hashlib.sha256(b).hexdigest()) for name, b in MEMBERS.items()}
KEY = "0123456789" * 4


@dataclass(frozen=True)
class Reader:
    name: str
    files: Callable[[], dict[str, bytes]]
    """Real inputs by their place in a folder."""
    spoilt: tuple[str, ...]
    """Those of them that are spoilt, one at a time."""
    read: Callable[[Path], object]
    """From the folder, and on to what uses the value."""
    refusals: tuple[type[Exception], ...]
    """The project's own errors."""
    cost: int = 1
    """It gets one of so many of the inputs that the fast ones get."""
    names_file: bool = True
    line: Callable[[BaseException], str] = str
    """What the user is shown of the error."""
    spoil: Callable[[bytes, str, random.Random], bytes] = spoil
    """Content and name of a file."""


def committed(*names: str) -> Callable[[], dict[str, bytes]]:
    """Files of this repository, by their own names."""
    return lambda: {Path(name).name: (ROOT / name).read_bytes() for name in names}


def lines(*inputs: str) -> Callable[[], dict[str, bytes]]:
    return lambda: {"input.txt": "\n".join(inputs).encode()}


def line_of(folder: Path) -> str:
    """As a shell would hand it over, without what no argument can hold."""
    text = (folder / "input.txt").read_bytes().decode(errors="surrogateescape")
    return text.replace("\0", "").strip("\n")


@functools.cache
def record() -> dict[str, bytes]:
    """Two published runs."""
    return {
        f"runs/{run}/{name}": (STUDY / "runs" / run / name).read_bytes()
        for run, name in product(RUNS, RECORD)
    }


@functools.cache
def committed_study() -> Study:
    return sources.read(STUDY)


@functools.cache
def depth_sweep() -> claims.Claims:
    return claims.load(claims.claims_path("depth_sweep", ROOT))


def read_study(folder: Path) -> None:
    study = sources.read(folder)
    if any(run.has_ended for run in study.runs):
        verdicts = judge.judge(depth_sweep(), "quick", study)
        report_text.report_text(study, depth_sweep(), verdicts, {"curves"})
        summary.lines(study, depth_sweep(), verdicts)
        charts.charts(study)
    rates.by_rate(study)
    tables.closing_rows(study, study)


def watch_study(folder: Path) -> None:
    plan = [progress.Planned(name, 340, 1.0) for name in RUNS]
    looks = progress.Sweep(folder, plan).look()
    table.view(looks, 1, 80)
    table.text(looks, 1)


def reread_config(folder: Path) -> None:
    """As a run is continued, or probed."""
    found = records.read_config(folder / "runs" / RUNS[0])
    if found is not None:
        config.from_dict(found)


def read_claims(folder: Path) -> None:
    claimed, study = claims.load(folder / "claims.yaml"), committed_study()
    if claimed.data == study.data and any("quick" in claim.presets for claim in claimed.claims):
        verdicts = judge.judge(claimed, "quick", study)
        tables.verdict_text(verdicts, 1 - 2 * claimed.level)


def read_estimand(folder: Path) -> None:
    estimands.parse((folder / "input.txt").read_text(errors="replace"))


def read_csv(folder: Path) -> None:
    study = sources.read(folder / "curves.csv")
    tables.verdict_text(judge.judge(depth_sweep(), "quick", study), 0.95)


@functools.cache
def csv_file() -> dict[str, bytes]:
    rows = ["kind,depth,seed,iteration,train_error_pct,test_error_pct"]
    for kind, depth, seed in product(("plain", "residual"), (18, 56), range(2)):
        rows += [f"{kind},{depth},{seed},{i},{90 - i / 10},{91 - i / 10}" for i in (100, 200)]
    return {"curves.csv": "\n".join([*rows, ""]).encode()}


def read_verdict(folder: Path) -> None:
    verdict = verdict_file.read(folder)
    verdict_file.lines(verdict)
    for claim in verdict.get("claims", ()):
        tables.text_table([[claim["id"], claim["paper"], tables.answer_cell(claim)]])


def read_table(folder: Path) -> None:
    with mock.patch.object(cli, "conf_dir", return_value=folder):
        cli.from_table("chosen_lr", "quick", "plain-56")


def read_experiment(folder: Path) -> None:
    """A `+experiment` file, composed as for a run."""
    named_code.refuse(folder, [])
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        config.from_dict(hydra.compose("config", ["+experiment=own", *TINY]))


@functools.cache
def conf_files() -> dict[str, bytes]:
    conf = ROOT / "conf"
    files = {str(p.relative_to(conf)): p.read_bytes() for p in conf.rglob("*.yaml")}
    return files | {"experiment/own.yaml": files["experiment/depth_sweep.yaml"]}


@functools.cache
def small_state() -> State:
    return fresh_state(tiny_config("model.width=2"))


@functools.cache
def saved_checkpoint() -> dict[str, bytes]:
    state = small_state()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, checkpoint.CHECKPOINT)
        checkpoint.save(path, state.model, state.optimizer, state.progress(), HASH)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def read_checkpoint(folder: Path) -> None:
    state = small_state()
    checkpoint.load(folder / checkpoint.CHECKPOINT, state.model, state.optimizer, HASH)


CONTINUED = tiny_config("model.width=2", "trainer.record_every=1", "trainer.eval_every=0")


@functools.cache
def left_run() -> dict[str, bytes]:
    """Two checkpoints of it, the last after three steps."""
    state = fresh_state(CONTINUED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, checkpoint.CHECKPOINT)
        for _ in itertools.islice(loop.train(state, noise_data(CONTINUED), CONTINUED), 3):
            progress = state.progress() | {"wall_s": 1.5}  # the same file at each time
            checkpoint.save(path, state.model, state.optimizer, progress, HASH)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def continue_run(folder: Path) -> None:
    """By a step from the newest that it can go on from; and what is to be said of the other."""
    path, warnings = folder / checkpoint.CHECKPOINT, list[str]()
    state = fresh_state(CONTINUED)
    before = copy.deepcopy(state.model.state_dict())
    progress = checkpoint.load_newest(folder, state.model, state.optimizer, HASH, warnings.append)
    assert progress is not None
    state.continue_from(progress)
    next(loop.train(state, noise_data(CONTINUED), CONTINUED), None)
    if warnings:
        assert progress["iteration"] == 2
        assert [warning.count("\n") for warning in warnings] == [0]
        state.model.load_state_dict(before)
        try:
            checkpoint.load(path, state.model, state.optimizer, HASH)
        finally:
            assert all(map(torch.equal, before.values(), state.model.state_dict().values()))


@functools.cache
def archive(packed: bool) -> dict[str, bytes]:
    """One that is spoilt before it is packed is spoilt where no checksum of gzip's sees it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if packed else "w") as tar:
        for name, content in MEMBERS.items():
            info = tarfile.TarInfo(f"set/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return {"archive": buffer.getvalue()}


def unpack(folder: Path) -> None:
    """Into another folder, so that whatever appears beside it has escaped."""
    content = (folder / "archive").read_bytes()
    with tempfile.TemporaryDirectory(dir=folder.parent) as elsewhere:
        path, target = Path(elsewhere, "archive"), Path(elsewhere, "in", "set")
        path.write_bytes(content if content[:2] == b"\x1f\x8b" else gzip.compress(content, 1))
        with contextlib.ExitStack() as look:
            look.callback(lambda: refuse_strays(Path(elsewhere)))
            archives.unpack(path, target, SUMS)
        assert {file.name: file.read_bytes() for file in target.iterdir()} == MEMBERS


def refuse_strays(folder: Path) -> None:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert found <= {"archive", "in", "in/set", "in/set/one", "in/set/two"}, found


def read_batches(folder: Path) -> None:
    """CIFAR-10's, up to where torchvision would be let loose on them."""
    with mock.patch.object(cifar10, "BATCH_SUMS", SUMS):
        cifar10._verified_source(folder)


def idx_file() -> dict[str, bytes]:
    header = b"\0\0\x08\x01" + (4).to_bytes(4, "big")
    return {f"{mnist.RAW}/{name}": header + b"abcd" for name in mnist.SUMS}


def read_mnist(folder: Path) -> None:
    sums = {Path(name).name: content for name, content in idx_file().items()}
    known = {n: Sum(len(b), hashlib.sha256(b).hexdigest()) for n, b in sums.items()}
    with mock.patch.object(mnist, "SUMS", known):
        mnist.load(str(folder))


def read_commit(folder: Path) -> None:
    with mock.patch.object(environment, "COMMIT", folder / "commit.json"):
        environment._left_word()


def compose(folder: Path) -> None:
    overrides = line_of(folder).split("\n")
    with hydra.initialize_config_dir(str(cli.conf_dir()), version_base="1.3"):
        cfg = config.from_dict(hydra.compose("config", overrides))
        config.run_name(cfg, cli.baseline(cfg))
    environment.command(overrides)


def plan_study(folder: Path) -> None:
    """EXPERIMENT, PRESET and SEEDS, as `make reproduce` and `make evidence` take them."""
    experiment, preset, seeds = [*line_of(folder).split("\n"), "", ""][:3]
    reproduce.made_plans(experiment, preset or "quick", lookup.seed_axis(seeds))


def read_root(folder: Path) -> None:
    """DATA_ROOT, through Hydra's grammar and back."""
    root = line_of(folder)[:255]  # Hydra's parser takes seconds for thousands of letters
    if root.isprintable():
        (parsed,) = OverridesParser.create().parse_overrides(
            [f"data.root={reproduce.quoted(root)}"]
        )
        assert str(parsed.value()) == root or parsed.value() is None
    cifar10._verified_source(archives.users_folder(root))


def read_runs(folder: Path) -> None:
    """RUNS and EXPERIMENT of `make check-claims`, as that script takes them."""
    runs, experiment = [*line_of(folder).split("\n"), ""][:2]
    claims.load(claims.claims_path(experiment))
    sources.read(ROOT / runs)


def read_settings(folder: Path) -> None:
    """What `wandb login` and `wandb offline` wrote."""
    changes = {"WANDB_CONFIG_DIR": str(folder), "NETRC": str(folder / "netrc")}
    with mock.patch.dict("os.environ", changes):
        account.resolve_mode("auto")


def settings() -> dict[str, bytes]:
    netrc = f"machine api.wandb.ai\n  login user\n  password {KEY}\n"
    return {"settings": b"[default]\nmode = online\nentity = me\n", "netrc": netrc.encode()}


OVERRIDES = lines(
    *("model.kind=plain", "model.depth=18", "data=shapes", "schedule.milestones=[100,200]"),
    *("+experiment=lr_choice", "preset=paper", "optim.lr=1e-1", "trainer.probes=[gradients]"),
    *("tracking.project='a b'", "seed=3", "data.root=null"),
)
READERS = (
    Reader("record", record, tuple(record()), read_study, JUDGED, cost=2),
    Reader("watched_record", record, tuple(record()), watch_study, (RecordError,)),
    Reader(
        "run_config", record, (f"runs/{RUNS[0]}/config.yaml",), reread_config,
        (RecordError, *HYDRAS), cost=4, names_file=False, line=cli.one_line,
    ),
    Reader(
        "claims", committed("experiments/depth_sweep/claims.yaml"), ("claims.yaml",), read_claims,
        JUDGED, cost=8,
    ),
    Reader(
        "counts", committed("experiments/imagenet_family/counts.yaml"), ("counts.yaml",),
        lambda folder: imagenet_family.read_claims(folder / "counts.yaml"), JUDGED, cost=4,
    ),
    Reader(
        "estimand", lines("0.5*(test/error_pct(plain,18,lr0.1) - first[probe/a/b](plain,110))/2"),
        ("input.txt",), read_estimand,
        (estimands.EstimandError,), names_file=False,
    ),
    Reader("curves", csv_file, ("curves.csv",), read_csv, JUDGED),
    Reader(
        "verdict", committed("results/depth_sweep/quick/verdict.json"), ("verdict.json",),
        read_verdict, JUDGED,
    ),
    Reader(
        "table", lambda: {"chosen_lr.yaml": b"quick:\n  plain-56: 0.1\n  plain-18: 0.03\n"},
        ("chosen_lr.yaml",), read_table, HYDRAS,
    ),
    Reader(
        "experiment", conf_files, ("experiment/own.yaml",), read_experiment, HYDRAS, cost=40,
        names_file=False, line=cli.one_line,
    ),
    Reader("checkpoint", saved_checkpoint, ("checkpoint.pt",), read_checkpoint, (CheckpointError,)),
    Reader(
        "checkpoint_content", left_run, (checkpoint.CHECKPOINT,), continue_run, (CheckpointError,),
        cost=4, spoil=spoil_tree,
    ),
    Reader("archive", lambda: archive(True), ("archive",), unpack, (DataError,)),
    Reader("tar", lambda: archive(False), ("archive",), unpack, (DataError,)),
    Reader(
        "batches", lambda: {f"{cifar10.BATCHES}/{name}": b for name, b in MEMBERS.items()},
        tuple(f"{cifar10.BATCHES}/{name}" for name in MEMBERS), read_batches, (DataError,),
    ),
    Reader("digits", idx_file, tuple(idx_file()), read_mnist, (DataError,)),
    Reader(
        "commit", lambda: {"commit.json": b'{"git_commit": "c0ffee", "git_dirty": false}'},
        ("commit.json",), read_commit, (ConfigError,),
    ),
    Reader(
        "overrides", OVERRIDES, ("input.txt",), compose, (*HYDRAS, OSError), cost=20,
        names_file=False, line=cli.one_line,
    ),
    Reader(
        "study", lines("depth_sweep", "quick", "0, 1 2"), ("input.txt",), plan_study,
        (*HYDRAS, *JUDGED, OSError), cost=40, names_file=False, line=cli.one_line,
    ),
    Reader(
        "data_root", lines("/data/it's, a=[b] \\ here"), ("input.txt",), read_root,
        (DataError, OSError), names_file=False, line=cli.one_line,
    ),
    Reader(
        "runs", lines("results/depth_sweep/quick", "depth_sweep"), ("input.txt",), read_runs,
        (*JUDGED, OSError), names_file=False,
        line=lambda error: " ".join(str(error).split()),
    ),
    Reader("settings", settings, ("settings", "netrc"), read_settings, ()),
)  # fmt: skip
