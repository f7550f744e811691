"""From values to one HTML file: templates, Markdown, pictures and the plotting library, all inside
it.

Whatever a user wrote - names of runs, sentences of claims, READMEs - is escaped by the templates or
rendered by `markdown`, which knows no HTML and loads no pictures; the page's own policy forbids any
request besides.
"""

import base64
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degradation.records import write_atomically

if TYPE_CHECKING:
    import jinja2
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markupsafe import Markup

ASSETS = Path(__file__).with_name("assets")


def write(path: Path, template: str, **values: Any) -> Path:
    """Renders one of the templates to `path`; the same bytes for the same values."""
    text = _environment().get_template(template).render(**values)
    write_atomically(path, text.encode())
    return path


@cache
def _environment() -> "jinja2.Environment":
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["asset"] = asset
    found.globals["plotly_js"] = plotly_js
    found.filters["markdown"] = markdown
    found.filters["inline_markdown"] = inline_markdown
    return found


def asset(name: str) -> "Markup":
    """A file of ours, as it is."""
    from markupsafe import Markup

    return Markup((ASSETS / name).read_text(encoding="utf-8"))


def plotly_js() -> "Markup":
    """The library that the Python package carries."""
    from markupsafe import Markup

    found = files("plotly").joinpath("package_data", "plotly.min.js")
    return Markup(found.read_text(encoding="utf-8"))


def markdown(text: str) -> "Markup":
    from markupsafe import Markup

    return Markup(_markdown().render(text))


def inline_markdown(text: str) -> "Markup":
    """Of one paragraph, without its tags."""
    from markupsafe import Markup

    return Markup(_markdown().renderInline(text))


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.core.ruler.push("no_relative_links", lambda state: _drop_relative(state.tokens))
    return parser


def _drop_relative(tokens: "Sequence[Token]") -> None:
    """Links into the repository lead nowhere from a page that was sent to somebody."""
    for token in tokens:
        kept, is_dropped = [], False
        for child in token.children or ():
            if child.type == "link_open":
                is_dropped = "://" not in str(child.attrGet("href"))
            if not (is_dropped and child.type in ("link_open", "link_close")):
                kept.append(child)
        if token.children is not None:
            token.children = kept


def data_uri(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
