"""The axes of softmax, log_softmax and logsumexp: one, several or all of them, under NumPy's name or torch's."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

from .._call.arrays import describe, move_axis
from .._definition import Array, namespace
from ..errors import AxisError, OptionError

NOT_GIVEN: Any = object()


class Classes(NamedTuple):
    """Where the classes are in an array of `shape`: on `axes`, in ascending order."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def others(self) -> tuple[int, ...]:
        """The axes of the rows."""
        return tuple(k for k in range(len(self.shape)) if k not in self.axes)

    @property
    def number(self) -> int:
        """How many classes a row has."""
        return math.prod(self.shape[k] for k in self.axes)

    def last(self, x: Array) -> Array:
        """An array of this shape with the classes as one last axis: a view for one axis, else perhaps a copy."""
        if len(self.axes) == 1:
            return move_axis(x, self.axes[0], -1)
        rows = tuple(self.shape[k] for k in self.others)
        return namespace(x).reshape(_ordered(x, (*self.others, *self.axes)), (*rows, self.number))

    def back(self, x: Array) -> Array:
        """The opposite of `last`."""
        if len(self.axes) == 1:
            return move_axis(x, -1, self.axes[0])
        order = (*self.others, *self.axes)
        x = namespace(x).reshape(x, tuple(self.shape[k] for k in order))
        return _ordered(x, tuple(order.index(k) for k in range(len(order))))

    def kept(self, x: Array) -> Array:
        """One number a row, with the axes of the classes of length 1."""
        return namespace(x).reshape(x, tuple(1 if k in self.axes else n for k, n in enumerate(self.shape)))


def _ordered(x: Array, order: tuple[int, ...]) -> Array:
    """x with its axes in another order."""
    return x if order == tuple(range(len(order))) else namespace(x).permute_dims(x, order)


def either(function: str, names: tuple[str, str], ours: Any, theirs: Any, default: Any) -> Any:
    """The value of an option with two names, of which one may be given."""
    if theirs is NOT_GIVEN:
        return default if ours is NOT_GIVEN else ours
    if ours is not NOT_GIVEN:
        text = f"{function}: {names[0]}={ours!r} and {names[1]}={theirs!r} are two names of one option"
        raise OptionError(f"{text}: give {names[0]}, or {names[1]} as in torch")
    return theirs


def classes(function: str, x: Array, axis: Any) -> Classes:
    """The axes of the classes: an integer, several, or None for the whole array. A single number is its own row."""
    shape = tuple(x.shape)
    if axis is None:
        return Classes(tuple(range(x.ndim)), shape)
    several = isinstance(axis, tuple) or (isinstance(axis, list) and len(axis) > 0)
    axes = [_one(function, x, k, axis) for k in (axis if several else (axis,))]
    if len(set(axes)) < len(axes):
        raise AxisError(f"{function}: axis={axis!r} names an axis of input {describe(x)} twice")
    return Classes(tuple(sorted(axes)) if x.ndim else (), shape)


def _one(function: str, x: Array, axis: Any, given: Any) -> int:
    """One axis, counted from the start; a single number has the axes 0 and −1, as in torch."""
    count = max(int(x.ndim), 1)
    try:
        number = count if isinstance(axis, bool) else operator.index(axis)
    except TypeError:
        number = count
    if not -count <= number < count:
        text = f"{function}: axis={given!r}, but input {describe(x)} has {x.ndim} axes"
        raise AxisError(f"{text}: expected an integer from {-count} to {count - 1}, a tuple of such, or None for all")
    return number % count
