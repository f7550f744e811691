"""Each variant is the same function as the present step, and is measured beside it."""

import pytest
import torch
from tests.benchmark import small

from degradation.benchmark import gpu_variants
from degradation.benchmark.contestants import begun
from degradation.data.batches import gather
from degradation.loop import train

CHANGES = [
    *("contiguous", "stem_of_4_channels", "stem_of_8_channels"),
    "uncounted_batches",
]


def test_all_of_it_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small.shrink(monkeypatch, gpu_variants)
    monkeypatch.setattr(gpu_variants, "DEPTHS", (8,))
    monkeypatch.setattr(gpu_variants, "EVALUATED", (10, 32))
    monkeypatch.setattr(gpu_variants, "PRESENT", 32)
    *_, part = gpu_variants.measure(None, small.CPU)
    told = capsys.readouterr().out
    for name in ("compiled", "fused", "fused_early"):
        assert f"{name} is left out" in told
    assert "evaluate_captured is left out" in told
    for precision in ("bf16", "tf32"):
        prefix = f"resnet8/{precision}"
        steps = [name for name, number in part.items() if number.get("unit") == "ms"]
        assert {f"{prefix}/{name}" for name in ["present", *CHANGES]} <= set(steps)
        assert part[f"{prefix}/uncounted_batches_over_present"]["n"] == 2
        assert f"{prefix}/evaluate_by_10_over_evaluate_by_32" in part


@pytest.mark.parametrize("name", [*CHANGES, "weights_cast_together", "cudnn_batch_norm"])
def test_a_variant_is_the_same_function(name: str) -> None:
    cfg, data = small.paper(8, "fp32" if name in CHANGES else "bf16"), small.data()
    change = gpu_variants.variants(cfg, data)[name].args[2]  # type: ignore[attr-defined]
    losses = []
    for given in (None, change):
        state, images = begun(cfg, data, given)
        rows = train(state, images, cfg)
        losses.append([next(rows)["train/loss"] for _ in range(3)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_variants_are_what_they_are_called() -> None:
    cfg, data = small.paper(8, "fp32"), small.data()
    _, padded = gpu_variants.padded_stem(begun(cfg, data)[0].model, data, channels=8)
    images, _ = gather(padded, 0, 0, 16)
    assert images.shape == (16, 8, 8, 8)
    assert not images[:, 3:].any()
    model, _ = gpu_variants.contiguous(begun(cfg, data)[0].model, data)
    assert all(parameter.is_contiguous() for parameter in model.parameters())
    seen: list[torch.Tensor] = []
    model.get_submodule("stem.0").register_forward_hook(lambda _m, _in, out: seen.append(out))
    model(gather(data, 0, 0, 16)[0])
    assert seen[0].is_contiguous()


def test_what_is_of_bf16_alone() -> None:
    told = {p: gpu_variants.variants(small.paper(8, p), small.data()) for p in ("bf16", "tf32")}
    only = {"weights_cast_together", "compiled", "cudnn_batch_norm"}
    assert told["bf16"].keys() - told["tf32"].keys() == only
    assert told["tf32"].keys() - told["bf16"].keys() == {"native"}  # PyTorch's choice for bf16
