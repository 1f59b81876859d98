"""Calls that were followed before with the same arguments, in the same state: their value is remembered."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from .values import Api, Args, Class, Constant, Function, Instance, Items, Layer, Mapping, Partial, Tensor, Value

__all__ = ["Memory"]

RUNS = 2  # how often a call is followed before its value is taken from memory
LONGEST = 12  # items of a list that tell one call from another


class Memory:
    """Values of calls by function and arguments."""

    def __init__(self) -> None:
        self.values: dict[Hashable, tuple[int, Value]] = {}

    def key(self, function: Function, args: Args, version: int) -> Hashable | None:
        """What tells this call from others; None for functions that see names of a function around them."""
        if function.scope:
            return None
        keywords = tuple((name, _key(value)) for name, value in args.keywords.items())
        owner = None if function.owner is None else _key(function.owner)
        return (function.node, owner, tuple(map(_key, args.positional)), keywords, args.exact, version)

    def recall(self, key: Hashable | None) -> Value | None:
        """The value of a call that was followed often enough."""
        count, value = self.values.get(key, (0, None))
        return value if count >= RUNS else None

    def keep(self, key: Hashable | None, value: Value) -> None:
        """A call was followed and gave this."""
        if key is not None:
            self.values[key] = (self.values.get(key, (0, value))[0] + 1, value)


def _key(value: Value, depth: int = 2) -> Hashable:
    """What is known of a value, without the identity of tensors."""
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, Constant):
        return (type(value.value), repr(value.value))
    if isinstance(value, Instance):
        return ("instance", value.number)
    if isinstance(value, Function):
        return (value.node, None if value.owner is None else _key(value.owner, depth))
    if isinstance(value, Class):
        return value.node
    if isinstance(value, Api):
        return value.name
    if isinstance(value, Items) and depth and len(value.items) <= LONGEST:
        rest = None if value.rest is None else _key(value.rest, depth - 1)
        return (value.exact, rest, *(_key(item, depth - 1) for item in value.items))
    if isinstance(value, Mapping) and depth and len(value.items) <= LONGEST:
        return tuple((repr(name), _key(item, depth - 1)) for name, item in value.items.items())
    return value.number if isinstance(value, Layer) else (id(value) if not isinstance(value, Partial) else id(value.of))


def _tensor(x: Tensor) -> Hashable:
    known: tuple[Any, ...] = (
        x.kind, x.place, x.certain, x.framework, x.width, x.ndim, x.whole, x.guarded, x.touched, x.bounded,
        x.complement, x.floating, x.axis, x.column, x.top, x.low, x.detached, x.one_unit, x.origins,
    )  # fmt: skip
    return ("tensor", *known, repr(x.of) if x.of is not None else None)
