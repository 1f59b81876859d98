"""Targets at the door: which of the three forms they have, and what is wrong with them.

Every message restates what was given, what was expected, and the fix. See TARGET FORMS in `crossent.cross_entropy`.
"""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np

from .._call.arrays import INTEGERS, describe, dtype_name, is_jax, is_torch, like, readable, values
from .._call.canonical import Call
from .._definition import Array, namespace
from .._mistakes import RULES
from ..errors import ClassIndexError, DtypeError, MisuseWarning, ProbabilityError, ShapeError

SUM_TOLERANCE = 1e-2  # of a row of probabilities; sixteen-bit softmax over many classes is off by a few thousandths


def warn(message: str) -> None:
    """A MisuseWarning that points to the caller's line, outside of crossent and of torch's module calls."""
    if is_compiling():
        return
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("crossent.", "torch.nn.modules.")
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, MisuseWarning, stacklevel=level)


def is_compiling() -> bool:
    """Whether torch.compile is tracing; it cannot record a warning."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def split_target(call: Call, x: Array, target: Any, axis: int) -> tuple[Array, Array]:
    """(y, None) for class indices and (None, q) for probabilities or one-hot; x and q still in the caller's layout."""
    target = like(x, target, "target")
    rows = (*x.shape[:axis], *x.shape[axis + 1 :])
    kind = dtype_name(target.dtype)
    if tuple(target.shape) == tuple(x.shape):
        return None, _as_probabilities(call, target, kind, x, axis)
    if tuple(target.shape) != rows:
        raise ShapeError(f"{_shape_message(x, target, rows, axis)} — in {call}")
    if kind not in INTEGERS:
        if "float" in kind and readable(target) and _has_nan(values(target)):
            text = "target holds missing values (NaN) where class indices are expected"
            raise DtypeError(f"{text}: drop those rows — in {call}")
        fix = "target.long()" if is_torch(target) else "target.astype('int64')"
        text = f"target holds {kind}, but its shape {rows} is that of class indices, which are integers: use {fix}"
        raise DtypeError(f"{text}, or give probabilities of shape {tuple(x.shape)} — in {call}")
    return as_indices(target, kind), None


def _has_nan(x: Array) -> bool:
    """Whether x holds NaN."""
    return bool(namespace(x).any(namespace(x).isnan(x)))


def as_indices(target: Array, kind: str) -> Array:
    """Class indices in the library's own index dtype; what uint64 holds beyond it stays out of range."""
    xp = namespace(target)
    index = xp.arange(1).dtype if is_jax(target) else xp.int64
    if target.dtype == index:
        return target
    y = xp.astype(target, index)
    return xp.where(y < 0, xp.iinfo(index).max, y) if kind.startswith("uint") else y


def _as_probabilities(call: Call, target: Array, kind: str, x: Array, axis: int) -> Array:
    """Probabilities as they are; integers and booleans where they are one-hot."""
    xp = namespace(target)
    if kind not in INTEGERS and kind != "bool":
        if "float" not in kind:
            raise DtypeError(f"target has dtype {kind}, expected class indices or probabilities — in {call}")
        return target
    if readable(target) and not _is_one_hot(values(target), axis):
        text = f"target holds integers in the shape of input {tuple(x.shape)}, but is not one-hot (one 1 in each row)"
        raise DtypeError(f"{text}: give class indices of shape {_without(x.shape, axis)} or probabilities — in {call}")
    return xp.astype(target, x.dtype)


def _is_one_hot(target: Array, axis: int) -> bool:
    """Whether every row holds one 1 and otherwise 0."""
    xp = namespace(target)
    if dtype_name(target.dtype) == "bool":
        return bool(xp.all(xp.sum(xp.astype(target, xp.int32), axis=axis) == 1))
    ones = xp.sum(xp.astype(target == 1, xp.int32), axis=axis)
    return bool(xp.all((target == 0) | (target == 1))) and bool(xp.all(ones == 1))


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The shape without one axis."""
    return (*shape[:axis], *shape[axis + 1 :])


def _shape_message(x: Array, target: Array, rows: tuple[int, ...], axis: int) -> str:
    """What was got, what was wanted, and the likeliest fix."""
    shape = tuple(target.shape)
    text = f"target has shape {shape}, expected {rows} or {tuple(x.shape)}"
    if shape[:-1] == rows and shape[-1:] == (1,):
        return f"{text}: use target.squeeze({len(shape) - 1})"
    if len(shape) > axis and shape[axis] == 1 and _without(shape, axis) == rows:
        return f"{text}: use target.squeeze({axis})"
    if x.ndim > 2 and axis != x.ndim - 1 and shape == tuple(x.shape[:-1]):
        fix = "input.movedim(-1, 1)" if is_torch(x) else "numpy.moveaxis(input, -1, 1)"
        return f"{text}: the classes of input {tuple(x.shape)} are last, so use axis=-1 (or {fix})"
    if len(shape) == len(rows) + 1 and shape[:1] == rows[:1]:
        return f"{text}: it has {shape[min(axis, len(shape) - 1)]} classes, but input has {x.shape[axis]}"
    if len(shape) == len(rows) and rows and shape[0] != rows[0]:
        return f"{text}: input has {rows[0]} rows, target has {shape[0]}; take both from the same batch"
    return f"{text}: input {tuple(x.shape)} has {x.shape[axis]} classes on axis {axis}"


def look_at_indices(call: Call, y: Array, classes: int, ignore_index: int, name: str = "target") -> tuple[bool, bool]:
    """(every index is a class or ignored, some are ignored); (False, True) where the values cannot be read.

    A class index outside 0 … C−1 raises ClassIndexError; where it cannot be read, its row will be NaN.
    """
    if not readable(y) or math.prod(y.shape) == 0:
        return False, True
    seen = np.asarray(values(y))
    if seen.min() >= 0 and seen.max() < classes:
        return True, 0 <= ignore_index < classes and bool((seen == ignore_index).any())
    wrong = ((seen < 0) | (seen >= classes)) & (seen != ignore_index)
    if not wrong.any():
        return True, True
    place = int(wrong.argmax())
    value, smallest = int(seen.flat[place]), int(np.where(seen == ignore_index, seen.max(), seen).min())
    where = _position(place, seen.shape)
    text = f"{name} holds {value} at position {where}, but there are {classes} classes (0 … {classes - 1})"
    raise ClassIndexError(f"{text}: {index_hint(value, classes, smallest)} — in {call}")


def _position(place: int, shape: tuple[int, ...]) -> str:
    """A flat position as an index of the shape: "3", "(2, 5)"."""
    index = []
    for size in reversed(shape):
        place, rest = divmod(place, size)
        index.append(rest)
    return str(index[0]) if len(index) == 1 else str(tuple(reversed(index)))


def index_hint(value: int, classes: int, smallest: int) -> str:
    """The likeliest cause of a class index out of range."""
    if value < 0:
        return f"is {value} meant to be ignored? then use ignore_index={value}"
    if value == 255:
        return "is 255 the label of pixels without a class? then use ignore_index=255"
    if value == classes:
        return "are the labels 1-based? then use target - 1" if smallest >= 1 else "are the labels 1-based?"
    return f"the model needs {value + 1} outputs or more, or the labels are not class indices"


def check_probabilities(call: Call, q: Array, x: Array, axis: int) -> None:
    """Raise where targets are negative; warn where a row's sum is far from 1; refuse (N,) logits with (N,) labels."""
    if not readable(q):
        return
    q = values(q)
    xp = namespace(q)
    q = q if dtype_name(q.dtype) == "float64" else xp.astype(q, xp.float32)
    lowest = float(xp.min(q)) if math.prod(q.shape) else 0.0
    if lowest < 0:
        text = f"target holds {lowest:g}, but probabilities are not negative"
        raise ProbabilityError(f"{text}: apply softmax to a teacher's logits, or give class indices — in {call}")
    total = xp.sum(q, axis=axis)
    off = xp.abs(total - 1) > SUM_TOLERANCE
    if not bool(xp.any(off)):
        return
    first = int(xp.argmax(xp.astype(xp.reshape(off, (-1,)), xp.int8)))
    number = float(xp.reshape(total, (-1,))[first])
    if x.ndim == 1:
        text = f"input and target of shape {tuple(x.shape)} are one sample of {x.shape[0]} classes, and target sums to"
        fix = "for binary labels use binary_cross_entropy_with_logits, for one sample probabilities that sum to 1"
        raise ProbabilityError(f"{text} {number:g}: {fix} — in {call}")
    place = _position(first, tuple(total.shape))
    warn(f"target row {place} sums to {number:g}, probabilities sum to 1: check=False accepts any mass — in {call}")


def check_structure(call: Call, x: Array, y: Array, axis: int, given_axis: int | None) -> None:
    """Warn of calls that compute what was hardly meant: one output unit, or a class axis that can be read two ways."""
    if x.shape[axis] == 1:
        warn(f"{RULES['X010'].wrong}; {RULES['X010'].fix} — in {call}")
    elif y is not None and given_axis is None and x.ndim > 2 and len(set(x.shape[1:])) == 1:
        text = f"input {describe(x)} can be read with classes first (taken) or last"
        warn(f"{text}; say axis=1 or axis=-1 — in {call}")
