"""What stands below the figures agrees with what the probes do, which they do not import."""

from degradation.analysis import lesion_figures, response_figures, shattering_figures
from degradation.analysis.style import Drawing
from degradation.probes import HELD_OUT, identity, lesion, responses, shattering

WORDS = {4: "four", 5: "five"}


def captions(figures: tuple[Drawing, ...]) -> dict[str, str]:
    return {figure.stem: figure.caption for figure in figures}


def test_lesions() -> None:
    told = captions(lesion_figures.FIGURES)
    assert "lesion" in HELD_OUT
    for stem in ("lesion_blocks", "lesion_several"):
        assert f"{lesion.IMAGES} test images" in told[stem]
    assert f"{WORDS[lesion.DRAWS]} draws a point" in told["lesion_several"]
    assert "identity" not in HELD_OUT
    assert f"on {identity.IMAGES} training images" in told["lesion_blocks"]


def test_responses() -> None:
    (told,) = captions(response_figures.FIGURES).values()
    assert "responses" not in HELD_OUT
    assert f"{responses.IMAGES} training images" in told


def test_shattering() -> None:
    told = captions(shattering_figures.FIGURES)
    assert f"over {WORDS[shattering.LINES]} lines" in told["shattering_autocorrelation"]
    assert f"at {shattering.POINTS} points" in told["shattering_slopes"]
