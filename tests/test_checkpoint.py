"""Checkpoints: saved whole, loaded exactly, and refused in one line when they are anything else."""

import copy
import hashlib
import io
import itertools
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import fresh_state, noise_data, tiny_config, without_times

from degradation import checkpoint
from degradation.checkpoint import CheckpointError
from degradation.loop import State, train

CFG = tiny_config("model.width=2")
HASH = "0a1b2c3d"


@pytest.fixture(scope="module")
def trained() -> State:
    state = fresh_state(CFG)
    list(itertools.islice(train(state, noise_data(CFG), CFG), 2))
    return state


@pytest.fixture(scope="module")
def saved(trained: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / checkpoint.CHECKPOINT
    checkpoint.save(path, trained.model, trained.optimizer, trained.progress(), HASH)
    return path


def contents(state: State) -> dict[str, Any]:
    """Without the settings: those are the config's."""
    momentum = state.optimizer.state_dict()["state"]
    return copy.deepcopy({"m": state.model.state_dict(), "o": momentum})


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def test_everything_comes_back(trained: State, saved: Path) -> None:
    other = fresh_state(tiny_config("model.width=2", "seed=5"))
    assert not same(contents(other), contents(trained))
    progress = checkpoint.load(saved, other.model, other.optimizer, HASH)
    assert (progress["iteration"], progress["recorded"]) == (10, 10)
    assert same(contents(other), contents(trained))


def test_training_goes_on_as_if_nothing_had_happened(saved: Path) -> None:
    data = noise_data(CFG)
    through = list(train(fresh_state(CFG), data, CFG))
    state = fresh_state(tiny_config("model.width=2", "seed=5"))
    state.continue_from(checkpoint.load(saved, state.model, state.optimizer, HASH))
    assert without_times(list(train(state, data, CFG))) == without_times(through[2:])


def test_adam_comes_back_with_the_steps_it_has_counted(tmp_path: Path) -> None:
    cfg = tiny_config("model.width=2", "optim.name=adam", "optim.lr=0.001")
    state, path = fresh_state(cfg), tmp_path / checkpoint.CHECKPOINT
    list(itertools.islice(train(state, noise_data(cfg), cfg), 2))
    checkpoint.save(path, state.model, state.optimizer, state.progress(), HASH)
    other = fresh_state(cfg)
    checkpoint.load(path, other.model, other.optimizer, HASH)
    assert same(contents(other), contents(state))
    assert other.optimizer.state_dict()["state"][0]["step"] == 10

    def forge(tree: dict[str, Any]) -> None:
        tree["optimizer"]["state"][0].update(step=torch.tensor(9.0))

    resealed(path, forge, path)
    with pytest.raises(CheckpointError, match="cut short or altered"):
        checkpoint.load(path, other.model, other.optimizer, HASH)


def refuse(path: Path, message: str) -> None:
    state = fresh_state(CFG)
    before, bytes_before = contents(state), path.read_bytes()
    with pytest.raises(CheckpointError, match=message) as failure:
        checkpoint.load(path, state.model, state.optimizer, HASH)
    assert str(failure.value).startswith(f"{path}: ")
    assert "\n" not in str(failure.value)
    assert same(contents(state), before)
    assert path.read_bytes() == bytes_before


def test_of_another_config(trained: State, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, trained.model, trained.optimizer, trained.progress(), "ffffffff")
    refuse(path, "made by config ffffffff, this run's is 0a1b2c3d")


@settings(max_examples=20)
@given(st.floats(0, 0.999))
def test_cut_short(saved: Path, part: float) -> None:
    whole = saved.read_bytes()
    path = saved.with_name("cut.pt")
    path.write_bytes(whole[: int(part * len(whole))])
    refuse(path, "cut short or altered")


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_random_bytes(saved: Path, junk: bytes) -> None:
    path = saved.with_name("junk.pt")
    path.write_bytes(junk)
    refuse(path, "cut short or altered")


def test_an_altered_weight_is_noticed(trained: State, saved: Path) -> None:
    weight = trained.model.state_dict()["linear.weight"].numpy().tobytes()
    whole = bytearray(saved.read_bytes())
    place = whole.find(weight)
    assert place > 0
    whole[place + 5] ^= 0x40
    path = saved.with_name("altered.pt")
    path.write_bytes(whole)
    refuse(path, "cut short or altered")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        torch.zeros(3),
        "text",
        {"config_hash": HASH},
        {"config_hash": HASH, "iteration": "ten"},
        {"config_hash": HASH, "iteration": 10},
        {"config_hash": HASH, "iteration": 10, "model": {}, "optimizer": {}},
        {"config_hash": HASH, "iteration": 10, "model": [1], "optimizer": 3},
    ],
)
def test_something_else_that_torch_can_load(tmp_path: Path, content: object) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    refuse(path, "cut short or altered")


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "no progress": lambda tree: tree.update(progress={}),
    "iteration, a text": lambda tree: tree["progress"].update(iteration="ten"),
    "iteration below 0": lambda tree: tree["progress"].update(iteration=-5),
    "iteration without steps": lambda tree: tree["progress"].update(iteration=10**9),
    "recorded later": lambda tree: tree["progress"].update(recorded=15),
    "time, not a number": lambda tree: tree["progress"].update(wall_s=math.nan),
    "steps without images": lambda tree: tree["progress"].update(
        recorded=5, totals=tree["progress"]["totals"] | {"steps": 5, "images": 0}
    ),
    "other totals": lambda tree: tree["progress"].update(totals={"a": 1}),
    "a weight of another shape": lambda tree: tree["model"].update({"linear.bias": torch.ones(3)}),
    "a complex weight": lambda tree: tree["model"].update(
        {"linear.bias": torch.ones(10, dtype=torch.complex64)}
    ),
    "a sparse weight": lambda tree: tree["model"].update(
        {"linear.bias": torch.ones(10).to_sparse()}
    ),
    "a sparse total": lambda tree: tree["progress"]["totals"].update(
        loss=torch.ones(()).to_sparse()
    ),
    "sparse momentum": lambda tree: tree["optimizer"]["state"][0].update(
        momentum_buffer=tree["optimizer"]["state"][0]["momentum_buffer"].to_sparse()
    ),
    "a hash in two lines": lambda tree: tree.update(config_hash="a\nb"),
    "a hash in other letters": lambda tree: tree.update(config_hash="é"),
    "a weight too many": lambda tree: tree["model"].update(more=torch.ones(3)),
    "no optimizer": lambda tree: tree.pop("optimizer"),
    "no momentum": lambda tree: tree["optimizer"].update(state={}),
    "momentum of one missing": lambda tree: tree["optimizer"]["state"].pop(0),
    "momentum of another shape": lambda tree: tree["optimizer"]["state"][0].update(
        momentum_buffer=torch.ones(3)
    ),
    "more than momentum": lambda tree: tree["optimizer"]["state"][0].update(step=torch.ones(())),
}


def resealed(path: Path, change: Callable[[dict[str, Any]], object], to: Path) -> None:
    """A copy with other content, and the SHA-256 of that."""
    tree = torch.load(path, weights_only=True)
    change(tree)
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    to.write_bytes(buffer.getvalue() + b"\nsha256 " + digest)


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_right_digest_is_not_enough(
    saved: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    resealed(saved, change, tmp_path / "checkpoint.pt")
    refuse(tmp_path / "checkpoint.pt", "cut short or altered")


def test_settings_in_the_file_do_not_count(saved: Path, tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["optimizer"]["param_groups"][0].update(weight_decay=5.0, nesterov=True)

    resealed(saved, change, tmp_path / "checkpoint.pt")
    state = fresh_state(CFG)
    before = copy.deepcopy(state.optimizer.state_dict()["param_groups"])
    checkpoint.load(tmp_path / "checkpoint.pt", state.model, state.optimizer, HASH)
    assert state.optimizer.state_dict()["param_groups"] == before


def test_the_run_goes_on_from_the_newest_that_is_whole(saved: Path, tmp_path: Path) -> None:
    """The damaged ones before it are gone then, and not only when it is looked at."""
    whole, told = saved.read_bytes(), list[str]()
    for name, content in (("new", b""), ("previous", whole)):
        (tmp_path / f"checkpoint.{name}.pt").write_bytes(content)
    (tmp_path / "checkpoint.pt").write_bytes(whole[:-9])
    state = fresh_state(CFG)
    arguments = (tmp_path, state.model, state.optimizer, HASH, told.append)
    for remove_damaged, left in ((False, 3), (True, 1)):
        progress = checkpoint.load_newest(*arguments, remove_damaged=remove_damaged)
        assert (progress or {})["iteration"] == 10
        assert len(list(tmp_path.iterdir())) == left
        assert "; going on from checkpoint.previous.pt, iteration 10" in told.pop()
    state.iteration, state.recorded = 20, 20
    checkpoint.save(tmp_path / "checkpoint.pt", *arguments[1:3], state.progress(), HASH)
    (tmp_path / "checkpoint.pt").replace(tmp_path / "checkpoint.new.pt")
    (tmp_path / "checkpoint.pt").write_bytes(whole)
    assert checkpoint.load_newest(*arguments) == state.progress()  # the newest, without a word
    assert told == []


def test_a_checkpoint_that_does_not_fit_into_memory_stays(saved: Path, tmp_path: Path) -> None:
    """Continuing from the one before it would lose steps, and the file is as good as ever."""

    class OnFullGPU(torch.optim.SGD):
        def load_state_dict(self, state_dict: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")

    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        shutil.copy(saved, tmp_path / name)
    state = fresh_state(CFG)
    optimizer = OnFullGPU(state.model.parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(torch.OutOfMemoryError):
        checkpoint.load_newest(tmp_path, state.model, optimizer, HASH, remove_damaged=True)
    assert len(list(tmp_path.iterdir())) == 2


def test_pickles_with_code_are_not_run(saved: Path, tmp_path: Path) -> None:
    """Although the file is whole and all its keys are there."""

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "checkpoint.pt"
    resealed(saved, lambda tree: tree["progress"].update(iteration=Trap()), path)
    refuse(path, "cut short or altered")
    assert not (tmp_path / "sprung").exists()
