"""Memory as the system counts it, and a line through two points."""

import pytest

from degradation.benchmark import memory


@pytest.mark.slow
def test_checkpointing_takes_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """54 blocks on 512 images of 16 x 16: four tensors a block are half a GiB, the inputs of the
    segments and what is in one of them a seventh; modules that PyTorch loads for it a tenth.
    """
    monkeypatch.setattr(memory, "DEPTH", 110)
    kept, checkpointed = (memory.peak_gib("quick", 512, option) for option in (False, True))
    assert kept - checkpointed > 0.15


def test_parts_are_of_both_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def peak_gib(preset: str, batch: int, checkpoint_activations: bool) -> float:
        asked.append((preset, batch, checkpoint_activations))
        return 0.5 + 0.1 * batch * (1 if checkpoint_activations else 2)

    monkeypatch.setattr(memory, "peak_gib", peak_gib)
    part = memory.measure()
    found = {name.removeprefix("residual-1202/"): number["median"] for name, number in part.items()}
    assert found == pytest.approx({
        "quick/checkpointed": 6.9,
        "paper/checkpointed": 13.3,
        "quick/kept": 13.3,
        "paper/kept, estimated": 26.1,
    })  # fmt: skip
    assert ("paper", 128, False) not in asked
    assert part["residual-1202/paper/checkpointed"]["target"] == "at most 2"
