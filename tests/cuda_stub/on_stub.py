"""What runs on CUDA, on the stub of it: no numbers come out, but what is launched, on which stream,
and whether a graph may hold it. Started by test_on_stub.py in a process of its own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.cuda_stub.stub import forget, seen
from tests.helpers import TINY, call, lines_of, only_run, tiny_config
from tests.test_gpu import begun, data_for, paper

from degradation import environment
from degradation.begin import fresh_state, load_data
from degradation.config import HardwareConfig
from degradation.data.batches import train_batches
from degradation.loop import train
from degradation.step import CapturedStep, EagerStep, build_step

slow = pytest.mark.slow
RUN = ("data=shapes", "tracking=off", "hardware=cuda", *TINY)
PRECISIONS = ("fp32", "tf32", "bf16")
GRAPH = "graph"
LONG_ROWS = ("schedule.iterations=50", "trainer.record_every=25", "trainer.checkpoint_every=0")


@pytest.fixture(autouse=True)
def nothing_is_refused(request: pytest.FixtureRequest) -> Iterator[None]:
    forget()
    yield
    if "refuse" not in request.node.name:
        assert seen().refused == []
        assert seen().beside == []


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_the_device_has_its_number(name: str) -> None:
    assert environment.select_device(HardwareConfig(name)) == torch.device("cuda", 0)


# captured against eager


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_graph_holds_what_the_eager_step_launches(kind: str, precision: str) -> None:
    cfg = paper(20, precision)
    cfg.model.kind = kind
    (_, eager), (_, captured) = (begun(cfg, capture) for capture in (False, True))
    assert type(eager) is EagerStep
    assert type(captured) is CapturedStep
    (batch,) = train_batches(data_for(cfg), seed=0, first=0, last=1, batch_size=128)
    for step in (eager, eager, captured):  # the last of each: momentum is there, the graph is not
        forget()
        step(*batch, 0.1)
        if step is eager:
            launched = seen().launched
    (graph,) = seen().graphs
    assert graph == launched
    assert graph["convolution"] == graph["convolution, gradient of the weights"] == 19
    assert graph["convolution, gradient of the input"] == 18  # the images want none


def test_a_captured_step_is_one_launch_after_the_batch_and_waits_for_nothing() -> None:
    cfg = paper(20, "bf16")
    _, step = begun(cfg, capture=True)
    batches = list(train_batches(data_for(cfg), seed=0, first=0, last=3, batch_size=128))
    step(*batches[0], 0.1)
    forget()
    step(*batches[1], 0.1)
    assert seen().launched == {GRAPH: 1, "copy, kind 3": 2}  # images and labels, on the device
    step(*batches[2], 0.01)
    assert seen().launched[GRAPH] == 2
    assert sum(seen().launched.values()) == 7  # and the new rate
    assert seen().waits == 0


def test_a_turn_is_a_few_steps_and_ends_with_a_row() -> None:
    cfg = tiny_config(
        "hardware.device=cuda", "data.name=shapes", "trainer.eval_every=0", *LONG_ROWS
    )
    device = environment.set_up(cfg.hardware, cfg.trainer)
    state = fresh_state(cfg, device)
    rows = train(state, load_data(cfg.data, device), cfg)
    turns = [state.iteration for row in rows if not row]
    assert turns == [10, 20, 25, 35, 45, 50]


@pytest.mark.parametrize("capture", ["true", "false"])
def test_the_host_waits_for_rows_and_not_for_steps(capture: str) -> None:
    waits = []
    for every in (10, 40):
        options = (f"hardware.capture={capture}", f"trainer.record_every={every}")
        length = ("schedule.iterations=120", "data.name=shapes")
        looks = ("trainer.eval_every=0", "trainer.checkpoint_every=0")
        cfg = tiny_config("hardware.device=cuda", *length, *looks, *options)
        device = environment.set_up(cfg.hardware, cfg.trainer)
        data = load_data(cfg.data, device)
        rows = filter(None, train(fresh_state(cfg, device), data, cfg))
        next(rows)  # with the capture
        forget()
        next(rows)
        waits.append(seen().waits)
    assert waits[0] == waits[1] > 0


def test_the_stub_refuses_to_capture_what_waits() -> None:
    """As CUDA does; that a test here fails where it should."""
    value, graph = torch.zeros(1, device="cuda"), torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        value.item()
    assert seen().refused[0] == "cudaStreamSynchronize"


def test_gradients_that_another_stream_would_gather_are_refused() -> None:
    """As of weights that were copied, with a gradient, before the capture."""
    layer = torch.nn.Linear(4, 4, device="cuda")
    images = torch.zeros(2, 4, device="cuda")
    copy, graph = layer.weight.clone(), torch.cuda.CUDAGraph()
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    with pytest.raises(RuntimeError), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        layer(images).sum().backward()
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(True)
    assert seen().refused[0] == "the default stream waits for a captured one"
    assert copy.grad_fn is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's of itself
def test_a_compiled_step_can_be_captured() -> None:
    cfg = paper(8, "bf16")
    state, _ = begun(cfg, capture=True)
    state.model = torch.compile(state.model)  # type: ignore[assignment]
    step = build_step(state.model, state.optimizer, "bf16", HardwareConfig())
    (batch,) = train_batches(data_for(cfg), seed=0, first=0, last=1, batch_size=128)
    step(*batch, 0.1)
    (graph,) = seen().graphs
    assert graph["convolution"] == graph["convolution, gradient of the weights"] == 7
    assert sum(count for name, count in graph.items() if name.startswith("triton_")) > 7


# whole runs


@pytest.mark.parametrize("kernels", ["library", "native", pytest.param("fused", marks=slow)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_run_goes_its_way(tmp_path: Path, precision: str, kernels: str) -> None:
    probes = "trainer.probes=[gradients,responses,identity]"  # the others want statistics
    asked = (f"trainer.precision={precision}", f"hardware.batch_norm_kernels={kernels}")
    options = (*asked, probes, "trainer.probe_every=10")
    assert call(*RUN, *options, f"output_root={tmp_path}") == 0
    rows = lines_of(only_run(tmp_path))
    assert [row["iteration"] for row in rows] == [0, 5, 10, 15, 20]
    assert rows[-1].keys() > {"train/loss", "test/loss", "eval/train_loss"}
    assert seen().launched[GRAPH] == 20


def test_each_run_of_a_fleet_keeps_to_a_stream_and_a_graph_of_its_own(tmp_path: Path) -> None:
    axes = ("model.kind=plain,residual", "seed=0,1")
    assert call("-m", *RUN, *axes, "hydra/launcher=fleet", f"output_root={tmp_path}") == 0
    found = seen()
    assert len(found.graphs) == 4
    assert sorted(stream[GRAPH] for stream in found.streams if stream[GRAPH]) == [20] * 4
    assert found.streams[0][GRAPH] == 0
