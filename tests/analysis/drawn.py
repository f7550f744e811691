"""Figures of one module, drawn as the report draws them, without the others."""

from collections.abc import Sequence
from pathlib import Path

from degradation.analysis.curves import Study
from degradation.analysis.style import LIGHT, Drawing, save, themed


def draw_own(drawings: Sequence[Drawing], study: Study, folder: Path) -> dict[str, bytes]:
    """The light files by name; nothing of a figure that the study has not."""
    paths: list[Path] = []
    with themed(LIGHT):
        for drawing in drawings:
            if figure := drawing.draw(study):
                paths += save(figure, folder, drawing.stem)
    return {path.name: path.read_bytes() for path in paths}
