"""The palette: seen on both backgrounds, and told apart with any colour vision and in grey."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from degradation.analysis.style import (
    MARKERS,
    PALETTES,
    THEMES,
    colour,
    kind_colour,
    palette,
    themed,
)

SWEEPS = ((18, 34, 56, 110), (20, 32, 44, 56, 110), (18, 56, 110), (8, 20, 56, 110))
# Machado, Oliveira and Fernandes (2009), severity 1.0, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip


def linear(tint: str) -> NDArray[np.float64]:
    """sRGB made linear (IEC 61966-2-1)."""
    rgb = np.array(to_rgb(tint))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(tint: str) -> float:
    return float(np.array([0.2126, 0.7152, 0.0722]) @ linear(tint))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: (L1 + 0.05) / (L2 + 0.05)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB (D65) of linear RGB."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ rgb.clip(0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one: str, other: str, vision: str) -> float:
    """CIE 1976 colour difference, as seen with that vision."""
    return math.dist(lab(VISION[vision] @ linear(one)), lab(VISION[vision] @ linear(other)))


@pytest.mark.parametrize("theme", THEMES)
def test_whatever_carries_a_number_has_the_contrast_that_wcag_asks_of_graphics(theme: str) -> None:
    """3 : 1 for graphics (1.4.11), 4.5 : 1 for text (1.4.3)."""
    ground = palette(theme).background
    tints = [colour(depth, theme) for depth in (2, 4, *MARKERS, 1202, 5000)]
    tints += [kind_colour(kind, theme) for kind in ("plain", "residual")]
    assert min(contrast(tint, ground) for tint in [*tints, palette(theme).line]) >= 3
    texts = (palette(theme).text, palette(theme).muted)
    assert min(contrast(text, ground) for text in texts) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", VISION)
def test_depths_and_kinds_are_told_apart_with_any_colour_vision(theme: str, vision: str) -> None:
    for depths in SWEEPS:
        for one, other in itertools.combinations(depths, 2):
            assert difference(colour(one, theme), colour(other, theme), vision) > 7
    plain, residual = (kind_colour(kind, theme) for kind in ("plain", "residual"))
    assert difference(plain, residual, vision) > 40


@pytest.mark.parametrize("theme", THEMES)
def test_a_grey_print_keeps_the_order_of_the_depths(theme: str) -> None:
    for depths in SWEEPS[:3]:
        lightness = [lab(linear(colour(depth, theme)))[0] for depth in depths]
        assert min(np.diff(lightness)) > 4
        assert len({MARKERS[depth] for depth in depths}) == len(depths)


def test_what_is_drawn_has_the_colours_of_its_theme() -> None:
    for theme in THEMES:
        with themed(theme):
            assert palette() is PALETTES[theme]
            assert colour(56) == colour(56, theme)
    assert palette() is PALETTES["light"]
    assert colour(56, "dark") != colour(56)
