"""Spoils what is in a checkpoint, and hashes it again: as somebody else's, or another version's."""

import copy
import hashlib
import io
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from tests.torture.mutations import ODD
from torch import Tensor

from degradation.checkpoint import MARK

RESHAPED: tuple[Callable[[Tensor], Tensor], ...] = (
    *(Tensor.flatten, lambda t: t[None], lambda t: t[..., None], lambda t: t.flatten()[:0]),
    *(lambda t: t.flatten()[:1], lambda t: t.flatten()[0], lambda t: torch.cat([t[None]] * 2)),
    lambda t: t.T if t.ndim == 2 else t.flatten()[:-1],
)
RETYPED: tuple[Callable[[Tensor], Any], ...] = (
    *(
        Tensor.double,
        Tensor.half,
        lambda t: t.ne(0).long(),
        Tensor.bool,
        lambda t: t.to(torch.complex64),
    ),
    *(Tensor.tolist, lambda t: t.to_sparse(), lambda t: torch.nn.Parameter(t.float())),
)
FILLED: tuple[Callable[[Tensor], Tensor], ...] = (
    *(
        lambda t: t * float("nan"),
        lambda t: t.float() / 0,
        lambda t: t * -1e38,
        lambda t: t * 1e-45,
    ),
    *(partial(torch.full_like, fill_value=value) for value in (-1, 0, 10**6)),
)


def spoil_tree(content: bytes, name: str, draw: random.Random) -> bytes:
    """One to three values of the tree, each replaced, removed, moved or bent."""
    tree = torch.load(io.BytesIO(content.rpartition(MARK)[0]), weights_only=True)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        spoil_value(tree, draw)
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    data = buffer.getvalue()
    return data + MARK + hashlib.sha256(data).hexdigest().encode()


def spoil_value(tree: Any, draw: random.Random) -> None:
    """At any depth as often as at another: of the few values at the top much depends."""
    levels = [level for level in places(tree) if level]
    if not levels:
        return
    level = draw.choice(levels)
    (holder, key), way = draw.choice(level), draw.random()
    value = holder[key]
    if way < 0.1:
        del holder[key]
    elif way < 0.2 and isinstance(holder, dict):
        holder[draw.choice(("odd", 3, -1, 10**6, None, "", "a\nb"))] = value
    elif way < 0.3:
        other, elsewhere = draw.choice(draw.choice(levels))
        holder[key] = other[elsewhere]
    elif isinstance(value, Tensor) and way < 0.85:
        holder[key] = draw.choice((*RESHAPED, *RETYPED, *FILLED))(value)
    elif isinstance(value, int | float) and way < 0.6:
        holder[key] = value + draw.choice((-1, 1, -(10**6), 10**9, 2**40, 0.5))
    else:
        odds = (*ODD, torch.zeros(()), torch.zeros(3), {1, 2}, (1, 2), b"a")
        holder[key] = copy.deepcopy(draw.choice(odds))


def places(tree: Any) -> list[list[tuple[Any, Any]]]:
    """By depth, to that of one parameter's momentum: each mapping or list with a key in it."""
    levels, holders = [], [tree]
    for _ in range(4):
        level = [(holder, key) for holder in holders for key in keys(holder)]
        levels.append(level)
        holders = [holder[key] for holder, key in level]
    return levels


def keys(holder: Any) -> list[Any]:
    if isinstance(holder, dict):
        return list(holder)
    return list(range(len(holder))) if isinstance(holder, list) else []
