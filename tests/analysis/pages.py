"""A report page read back without the code that wrote it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = {"meta", "link", "img", "input", "br", "hr", "source"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    text: str = ""
    """Its own and that of what it holds; of scripts their code."""

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())


@dataclass
class Page(HTMLParser):
    """All elements of a page; an unclosed or a crossed one fails."""

    path: Path
    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.source = self.path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open, f"not closed: {[each.name for each in self.open]}"

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, name: str = "", css: str = "") -> list[Element]:
        return [
            each
            for each in self.elements
            if name in ("", each.name) and (not css or css in each.classes)
        ]

    @property
    def tables(self) -> dict[str, list[list[str]]]:
        """Those with a caption, by it: their rows, the heading first."""
        found: dict[str, list[list[str]]] = {}
        rows: list[list[str]] = []
        for element in self.elements:
            text = " ".join(element.text.split())
            if element.name == "table":
                rows = []
            elif element.name == "caption":
                assert text not in found
                found[text] = rows
            elif element.name == "tr":
                rows.append([])
            elif element.name in ("th", "td"):
                rows[-1].append(text)
        return found

    @property
    def text(self) -> str:
        """What a reader sees, in one line."""
        (main,) = self.all("main")
        return " ".join(main.text.split())

    @property
    def data(self) -> dict[str, Any]:
        """What the charts are drawn from."""
        (script,) = (each for each in self.all("script") if each.attributes.get("id") == "data")
        found: dict[str, Any] = json.loads(script.text)
        return found
