"""What the profiler sees, of a CPU's operations, and what is made of a GPU's kernels."""

import pytest
from tests.benchmark import small

from degradation.benchmark import gpu_profile
from degradation.benchmark.results import lines, rows


def test_all_of_it_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    small.shrink(monkeypatch, gpu_profile)
    for name, value in {"DEPTHS": (8,), "STEPS": 1, "REPLAYS": 2}.items():
        monkeypatch.setattr(gpu_profile, name, value)
    *_, part = gpu_profile.measure(None, small.CPU)
    for precision in ("bf16", "tf32"):
        prefix = f"resnet8/{precision}/profile"
        kinds = ("convolution and product", "batch norm", "pointwise", "optimiser")
        assert all(part[f"{prefix}/share of {kind}"]["median"] > 0 for kind in kinds)
        assert part[f"{prefix}/kernels"]["median"] > 30
        assert part[f"{prefix}/busy"]["median"] > 0
    assert len(list(lines(part))) == len(list(rows(part))) + 2 * gpu_profile.SHOWN


KERNELS = {
    "sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc": "convolution and product",
    "void cudnn::engines_precompiled::nchwToNhwcKernel<__nv_bfloat16>": "layout",
    "void cudnn::bn_bw_1C11_singleread_specialized<float, 512, true>": "batch norm",
    "void at::native::batch_norm_collect_statistics_channels_last_kernel<Var>": "batch norm",
    "void at::native::batch_norm_backward_reduce_channels_last_kernel<4>": "batch norm",
    "void at::native::vectorized_elementwise_kernel<4, CUDAFunctor_add<float>>": "pointwise",
    "void at::native::avg_pool2d_out_cuda_frame_nhwc<float>": "pointwise",
    "void at::native::unrolled_elementwise_kernel<direct_copy_kernel_cuda>": "copy and cast",
    "Memcpy DtoD (Device -> Device)": "copy and cast",
    "void at::native::multi_tensor_apply_kernel<FusedSgdMathFunctor<float>>": "optimiser",
    "void at::native::reduce_kernel<512, 1, ReduceOp<long, sum>>": "reduction and loss",
    "triton_something": "other",
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_have_a_kind(kernel: str) -> None:
    assert gpu_profile.kind_of(kernel) == KERNELS[kernel]


def test_shares_and_waiting_by_hand() -> None:
    """Two steps of 1 ms: 600 us of convs and 200 us of copies each."""
    kernels = [("conv", 300.0), ("conv", 300.0), ("Memcpy", 200.0)] * 2
    part = gpu_profile.numbers([1.0, 1.0], kernels, steps=2)
    found = {name: number["median"] for name, number in part.items() if "median" in number}
    assert found == {
        "whole": 1.0,
        "busy": 0.8,
        "waiting": pytest.approx(20),
        "kernels": 3,
        "share of convolution and product": 75,
        "share of copy and cast": 25,
    }
    assert part["most time"]["lines"] == [" 75.0 %    2.0 x conv", " 25.0 %    1.0 x Memcpy"]


def test_a_profiler_that_sees_nothing_says_so() -> None:
    with pytest.raises(RuntimeError, match="no kernels"):
        gpu_profile.numbers([1.0], [], 1)
