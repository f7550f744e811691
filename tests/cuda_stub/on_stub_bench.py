"""The GPU's benchmark on the stub of CUDA: that it goes through and that a variant launches what it
is called for. Started by test_on_stub.py in a process of its own.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.benchmark import small
from tests.cuda_stub.stub import forget, seen
from tests.helpers import noise_images

from degradation.benchmark import (
    contestants,
    gpu,
    gpu_profile,
    gpu_seed,
    gpu_variants,
    throughput,
)
from degradation.config import Config
from degradation.data.batches import prepare

CUDA = torch.device("cuda", 0)
PAGE = Path(__file__).parents[2] / "docs/gpu.md"
NORMS = 7
"""Batch norms of ResNet-8, and its convs."""


@pytest.fixture(autouse=True)
def nothing_is_refused() -> Iterator[None]:
    forget()
    yield
    assert seen().refused == []
    assert seen().beside == []


def test_contestants(monkeypatch: pytest.MonkeyPatch) -> None:
    small.shrink(monkeypatch, gpu)
    monkeypatch.setattr(gpu, "FLEET", 2)
    *_, part = gpu.measure(8, ".", CUDA)
    alone = ("usual", "eager", "captured", "captured_any_algorithm", "captured_tf32")
    assert [name for name in part if name.endswith("/step")] == [
        f"resnet8/{name}/step" for name in (*alone, *gpu.FLEETS)
    ]
    # a first turn, one before each of two rounds and the two; of a fleet one more is under way
    assert seen().launched["graph"] == 3 * 5 + len(gpu.FLEETS) * 2 * 6


def test_a_seed_and_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    small.shrink(monkeypatch, gpu_seed)
    monkeypatch.setattr(gpu_seed, "SHORT", 12)
    arms = gpu_seed.arms
    monkeypatch.setattr(gpu_seed, "arms", lambda *overrides: arms(*small.ARMS, *overrides))
    *_, part = gpu_seed.measure(None, CUDA)
    for name in gpu_seed.COURSES:
        assert part[f"{name}/step"]["n"] == 2
        assert part[f"{name}/memory"]["median"] > 0
        assert part[f"{name}/memory/of PyTorch"]["median"] > 0
    assert part["one_seed/tf32/memory"]["target"] == "at most 24"


def test_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    small.shrink(monkeypatch, gpu_variants)
    for name, value in {"DEPTHS": (8,), "EVALUATED": (10, 32), "PRESENT": 32}.items():
        monkeypatch.setattr(gpu_variants, name, value)
    *_, part = gpu_variants.measure(None, CUDA)
    for precision in ("bf16", "tf32"):
        assert part[f"resnet8/{precision}/evaluate_captured_over_evaluate_by_32"]["n"] == 2


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_variants_launch_what_they_are_called_for(precision: str) -> None:
    """PyTorch takes its own batch norm for bf16 and cuDNN's for fp32, and a variant the other."""
    cfg = small.paper(8, precision)
    runs = gpu_variants.variants(cfg, prepare(noise_images(), cfg.data, CUDA))
    graphs = {}
    for name in runs.keys() - {"compiled", "fused", "fused_early"}:
        forget()
        next(runs[name]())
        (graphs[name],) = seen().graphs
    present, uncounted = graphs["present"], graphs["uncounted_batches"]
    assert sum((present - uncounted).values()) == NORMS
    assert not uncounted - present
    own, cudnns = (
        (present, graphs["cudnn_batch_norm"])
        if precision == "bf16"
        else (graphs["native"], present)
    )
    assert (own["batch norm"], cudnns["batch norm"]) == (0, NORMS)
    assert count(own, "channels_last") == 4 * NORMS
    assert count(graphs["contiguous"], "channels_last") == 0
    if precision == "bf16":
        # one for each weight and gradient, or for all weights and all gradients
        fewer = sum((present - graphs["weights_cast_together"]).values())
        more = sum((graphs["weights_cast_together"] - present).values())
        assert (fewer, more) == (2 * NORMS, 2)
    assert graphs["stem_of_4_channels"] == graphs["stem_of_8_channels"] == present


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_fused_kernels_take_the_place_of_all_others_of_a_layer(precision: str) -> None:
    """Compiled for a real GPU: four kernels beside the three of a conv, none to add, cut, count or
    cast, and no copy because a layout was not what another kernel wants.
    """
    cfg = small.paper(8, precision)
    present, fused, early = (
        graph_of(contestants.by_kernels(cfg, kernels))
        for kernels in ("library", "fused", "fused_early")
    )
    kinds = ("moments", "output", "gradient_sums", "gradients")
    assert {f"batch_norm_{kind}": NORMS for kind in kinds}.items() <= fused.items()
    casts = 2 if precision == "bf16" else 0
    others = [count(fused - present, part) for part in ("batch_norm", "multi_tensor", "copy")]
    assert others == [4 * NORMS, 1 + casts, 0]
    for part in ("clamp", "threshold", "CUDAFunctorOnSelf_add"):
        assert count(present, part) > count(fused, part) == 0
    assert early == fused


@pytest.mark.slow
@pytest.mark.parametrize("depth", [20, 110])
def test_launches_are_those_that_the_page_on_gpus_tells(depth: int) -> None:
    columns = [("tf32", name) for name in ("library", "native", "fused")]
    columns += [("bf16", name) for name in ("library", "fused")]  # native is the library's choice
    counts = [
        sum(graph_of(contestants.by_kernels(throughput.paper(depth, precision, 1), name)).values())
        for precision, name in columns
    ]
    assert f"| ResNet-{depth} | {' | '.join(map(str, counts))} |" in PAGE.read_text()


def graph_of(cfg: Config) -> Counter[str]:
    forget()
    next(contestants.own_turns(cfg, prepare(noise_images(), cfg.data, CUDA)))
    (graph,) = seen().graphs
    return graph


def test_each_kernel_of_a_step_has_a_kind() -> None:
    for precision in ("bf16", "tf32"):
        cfg = small.paper(8, precision)
        forget()
        next(contestants.own_turns(cfg, prepare(noise_images(), cfg.data, CUDA)))
        (graph,) = seen().graphs
        kinds = Counter[str]()
        for name, launches in graph.items():
            kinds[gpu_profile.kind_of(name)] += launches
        assert gpu_profile.OTHER not in kinds
        assert kinds["convolution and product"] == 3 * NORMS - 1 + 3  # the linear layer's three
        assert kinds["optimiser"] == 1


def count(graph: Counter[str], part: str) -> int:
    return sum(launches for name, launches in graph.items() if part in name)
