"""Who uses a value: each expression that holds the probabilities of one origin, and the objects that gave them.

Kept only where fixes are wanted: they ask it who else would notice a change.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Any

from .values import (
    UNKNOWN,
    Class,
    Function,
    Instance,
    Items,
    Layer,
    Mapping,
    Method,
    Partial,
    Place,
    Tensor,
    Value,
    origins,
)

__all__ = ["Uses", "keys_of"]


def keys_of(value: Value) -> Iterator[Hashable]:
    """What an object is known by: its class and the bases of it, its function, the place where a layer was made."""
    if isinstance(value, Class):
        yield value.node
        for base in value.bases:
            yield from keys_of(base)
    elif isinstance(value, Instance):
        yield from keys_of(value.of)
    elif isinstance(value, Function):
        yield value.node
        if value.owner is not None:
            yield from keys_of(value.owner)
    elif isinstance(value, Layer):
        yield value.place
    elif isinstance(value, Partial):
        yield from keys_of(value.of)


class Uses:
    """The expressions of a run, by what they hold."""

    def __init__(self) -> None:
        self.tensors: dict[Place, set[ast.AST]] = defaultdict(set)
        self.objects: dict[Hashable, set[ast.AST]] = defaultdict(set)
        self.makers: dict[Place, set[Hashable]] = defaultdict(set)  # the objects that return an origin's value
        self.containers: set[ast.AST] = set()
        self.evaluated: set[ast.AST] = set()
        self.followed: set[ast.AST] = set()  # calls whose function was run
        self.called: set[ast.AST] = set()  # functions that were run for a call
        self.axes: dict[Place, object] = {}  # along which axis a softmax was taken
        self.inherited: set[ast.AST] = set()  # calls of methods that only a library knows
        self.unknown: set[ast.Call] = set()  # calls of what nobody knows

    def seen(self, node: ast.expr, value: Value) -> None:
        """An expression has a value."""
        self.evaluated.add(node)
        for origin in origins(value):
            self.tensors[origin].add(node)
            if isinstance(value, (Items, Mapping)):
                self.containers.add(node)
        for key in keys_of(value):
            self.objects[key].add(node)

    def gave(self, callee: Value, value: Value, node: ast.Call) -> None:
        """A call gave a value."""
        for origin in origins(value):
            self.makers[origin].update(keys_of(callee))
        if isinstance(callee, Method) and isinstance(callee.of, (Instance, Layer)):
            self.inherited.add(node)
        if callee is UNKNOWN or (isinstance(callee, Tensor) and not callee.kind):
            self.unknown.add(node)

    def ran(self, function: ast.AST, node: Any, *, generic: bool) -> None:
        """A function was run, for a call or with nothing known."""
        if not generic:
            self.called.add(function)
            self.followed.add(node)
