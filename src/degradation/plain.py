"""YAML and JSON that anybody may have written: plain values or one error, whatever the bytes.

Nothing in them can name code or refer to the environment: no tags but YAML's own, no merged keys,
no numbers that other programs could not read, no text that a terminal would obey. And nothing grows
far beyond its own size, as a few lines of aliases to aliases can.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1 << 18
"""Of a YAML file: its parser takes seconds for more, and the largest of ours has a tenth of it."""
MOST_GROWTH = 4
"""Times its size, that a YAML file may come to where its aliases are written out."""
MOST_LEVELS, MOST_DIGITS = 20, 100
_NO_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class PlainError(ValueError):
    """What a file holds that is not plain; the file's name is the caller's to add."""


class _Loader(yaml.SafeLoader):
    level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.level += 1
        if self.level > MOST_LEVELS + 1:
            raise PlainError(f"more than {MOST_LEVELS} levels")
        node = super().compose_node(parent, index)
        self.level -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if any(key.tag.endswith(":merge") for key in keys):  # each can double what there is
            raise PlainError("a merged key (<<)")
        names = [key.value for key in keys]
        if len(set(names)) < len(names):
            raise PlainError(f"the key {max(names, key=names.count)!r} twice")
        return super().construct_mapping(node, deep)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    if len(node.value) > MOST_DIGITS:  # in base 60 (1:30:00) they would take seconds
        raise PlainError(f"{node.value[:60]!r} is neither text nor a number")
    is_whole = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if is_whole else loader.construct_yaml_float(node)


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _number)


def yaml_of(path: Path) -> Any:
    """Raises PlainError for what is not plain YAML, OSError for what cannot be read."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise PlainError(f"more than {MOST_BYTES:,} bytes")
    try:
        return _checked(yaml.load(content.decode(), Loader=_Loader), MOST_GROWTH * MOST_BYTES)
    except PlainError:
        raise
    except Exception as error:  # its constructors raise whatever a value leads them to
        raise PlainError(_one_line(error)) from None


def json_of(content: bytes) -> Any:
    """Raises PlainError for what is not plain JSON; NaN and infinity are not."""
    try:
        found = json.loads(content.decode(), parse_constant=_refuse, object_pairs_hook=_once)
        return _checked(found, len(content))
    except PlainError:
        raise
    except (ValueError, RecursionError) as error:
        raise PlainError(_one_line(error)) from None


def is_number(value: object) -> bool:
    """Finite, a whole one in 64 bits, and no truth value."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_text(value: str) -> bool:
    """Whether it can be written, and a terminal would not obey it."""
    return not _NO_TEXT.search(value)


def shown(text: str) -> str:
    """For a line of a message: quoted where it is more than a line, or would move the cursor."""
    return text if text.isprintable() else ascii(text)


def _refuse(constant: str) -> None:
    raise PlainError(f"{constant} is no number of JSON's")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise PlainError("a key twice")
    return found


def _checked(whole: Any, most: int) -> Any:
    """The value itself, if it is made of mappings, lists, text, numbers, true, false and null.

    most: values and letters, each alias counted where it stands.
    """
    size, waiting = 0, [(whole, 0)]
    while waiting:
        value, level = waiting.pop()
        size += len(value) if isinstance(value, str) else 1
        if size > most or level > MOST_LEVELS:
            raise PlainError(f"more than {MOST_LEVELS} levels, or aliases that grow")
        if isinstance(value, dict):
            waiting += [(entry, level + 1) for pair in value.items() for entry in pair]
        elif isinstance(value, list):
            waiting += [(entry, level + 1) for entry in value]
        elif isinstance(value, str):
            if not is_text(value):
                raise PlainError(f"{value[:60]!r} has characters that are no text")
        elif not (value is None or isinstance(value, bool) or is_number(value)):
            raise PlainError(f"{str(value)[:60]!r} is neither text nor a number")
    return whole


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.encode(errors="replace").decode()[:300]
