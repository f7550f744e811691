"""Ways to spoil a real input: its bytes, its lines, its values."""

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import yaml

LAUGHS = "\n".join(
    ["a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    + [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
)
MERGES = "\n".join(
    ["a: &a {k: 1}"]
    + [
        f"{b}: &{b} {{<<: [*{a}, *{a}, *{a}]}}"
        for a, b in zip("abcdefghijklmn", "bcdefghijklmno", strict=True)
    ]
)
TOKENS = (
    *("NaN", "-Infinity", "1e999", "-1", "0", "1.5", "9" * 30, "9" * 5000, "0x" + "f" * 400),
    *("1e5", "null", "true", "no", "~", '""', "''", "[]", "{}", "[[]]", "2001-02-31", "1:30:00"),
    *(
        "\0",
        "\x1b[31m",
        "\u202e",
        "\ufeff",
        "\u2028",
        "é",
        "\N{MATHEMATICAL DOUBLE-STRUCK DIGIT ONE}",
    ),
    *(
        "\\ud800",
        "\\u0000",
        "%00",
        "\t",
        "\r",
        "../../../etc/passwd",
        "/dev/zero",
        "a" * 300,
        "a/" * 50,
    ),
    *("~nobody_at_all/x", ".", " ", ",", "=", "<<", "${oc.env:HOME}", "${seed}", "${table:../x,a}"),
    *("???", "_target_", "_target_: os.system", "$(id)", "!!python/object/apply:os.system [id]"),
    *(
        "!!binary aGk=",
        "!!set {a}",
        "&x [*x]",
        "*x",
        "!a b",
        "[" * 3000,
        '{"a":' * 3000,
        "(" * 3000,
    ),
    *("- " * 500, "plain", "residual", "test/error_pct(plain,18)", LAUGHS, MERGES, "---", "..."),
    *("#", "|", "@", "`", '"', "'", "{", "}", "[", "]", "(", ")", "**", ":"),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 1.5, 2**53 + 1, 2**63, 10**400, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), "", " ", "a", "9", "nan", "\0", "\ud800", "\x1b[2J", "../.."),
    *("a\nb", "${oc.env:HOME}", "finished", "diverged", [], {}, [[]], [1], [None], ["a", 1]),
    *({"a": 1}, {"": {}}, "x" * 5000, [0] * 2000, {"_target_": "os.system", "command": "id"}),
)


def spoil(content: bytes, name: str, draw: random.Random) -> bytes:
    """One to three of the ways, one after the other; `name` tells the format."""
    ways: list[Callable[[bytes, random.Random], bytes]]
    ways = [flip, cut, drop, repeat_line, swap_lines, insert, replace_word, replace_word]
    if name.endswith((".json", ".yaml", ".jsonl")):
        ways += [lambda some, draw: revalue(some, name, draw)] * 6
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice(ways)(content, draw)
    return content


def flip(content: bytes, draw: random.Random) -> bytes:
    spoilt = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        if spoilt:
            spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
    return bytes(spoilt)


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def drop(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    return content[:start] + content[start + draw.choice((1, 4, 30, 1000)) :]


def repeat_line(content: bytes, draw: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    place = draw.randrange(len(lines))
    return b"".join(
        [*lines[: place + 1], *[lines[place]] * draw.choice((1, 1, 50)), *lines[place + 1 :]]
    )


def swap_lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def insert(content: bytes, draw: random.Random) -> bytes:
    place, token = draw.randrange(len(content) + 1), draw.choice(TOKENS).encode()
    return (
        content[:place]
        + draw.choice((token, b"\n" + token + b"\n", b" " + token))
        + content[place:]
    )


def replace_word(content: bytes, draw: random.Random) -> bytes:
    """A name or number gives way to a token, so that the line around it stays what it is."""
    spans, start = [], None
    for place, byte in enumerate(content + b"\n"):
        is_inside = chr(byte).isalnum() or byte in b"._-"
        if is_inside and start is None:
            start = place
        if not is_inside and start is not None:
            spans.append((start, place))
            start = None
    if not spans:
        return insert(content, draw)
    first, last = draw.choice(spans)
    return content[:first] + draw.choice(TOKENS).encode() + content[last:]


def revalue(content: bytes, name: str, draw: random.Random) -> bytes:
    """A value somewhere in the tree is replaced by an odd one, removed, or moved elsewhere."""
    lines = content.splitlines()
    place = draw.randrange(len(lines)) if name.endswith(".jsonl") and lines else None
    try:
        tree = yaml.safe_load(content) if name.endswith(".yaml") else json.loads(
            content if place is None else lines[place]
        )  # fmt: skip
        tree = _changed(tree, draw)
    except (ValueError, RecursionError, yaml.YAMLError):
        return flip(content, draw)
    try:
        text = yaml.dump(tree) if name.endswith(".yaml") else json.dumps(tree)
        fresh = text.encode()
    except (ValueError, RecursionError, yaml.YAMLError):
        return insert(content, draw)
    if place is None:
        return fresh
    return b"\n".join([*lines[:place], fresh, *lines[place + 1 :]]) + b"\n"


def odd(draw: random.Random) -> Any:
    """One of one's own: what is put into it must not come up elsewhere."""
    return copy.deepcopy(draw.choice(ODD))


def _changed(tree: Any, draw: random.Random) -> Any:
    places = list(_places(tree))
    if not places:
        return odd(draw)
    holder, key = draw.choice(places)
    way = draw.random()
    if way < 0.2:
        del holder[key]
    elif way < 0.3 and isinstance(holder, dict):
        holder[draw.choice(("odd", 3, None, "_target_", "a\nb", ""))] = holder[key]
    elif way < 0.45:
        other, elsewhere = draw.choice(places)
        holder[key] = other[elsewhere] if other is not holder else odd(draw)
    else:
        holder[key] = odd(draw)
    return tree


def _places(tree: Any) -> Sequence[tuple[Any, Any]]:
    keys = (
        list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    )
    found = [(tree, key) for key in keys]
    return found + [place for key in keys for place in _places(tree[key])]
