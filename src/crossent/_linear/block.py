"""The seam between the walk and a room: the loss of a chunk of rows, its gradient written over its logits.

The C++ room takes a chunk in one pass; the definition takes it in blocks of rows that stay in the processor's cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _functions
from .._call.arrays import dtype_name, is_numpy, values
from .._call.canonical import Rows
from .._definition import Array, namespace
from .._statistics import asked, extras
from ..backends import agnostic, cpu
from . import device

CACHED = 2**17  # elements of a block of rows that the definition works on at one time
LARGE = 2**26  # the same on a GPU


def chunk_loss_and_gradient(rows: Rows, scales: tuple[Any, Any], *, wanted: bool) -> tuple[Array, Array]:
    """(loss, lse² or None) of each row of a chunk (n, C).

    If wanted, the derivative of Σ loss·scales[0] + lse²·scales[1] by the logits is written over them, over rows.x.
    """
    own = device.room(rows) or (cpu if cpu.serves(rows) else None)
    if own is not None:
        return _by_kernel(own, rows, scales, wanted)
    if not _on_host(rows.x):
        return _loss_and_gradient(rows, scales, wanted)
    parts = [_loss_and_gradient(block, scales, wanted, into) for block, into in _blocks(rows)]
    return tuple(_joined(rows.x, column) for column in zip(*parts, strict=True))


def _by_kernel(room: Any, rows: Rows, scales: Any, wanted: bool) -> tuple[Array, Array]:
    """The same by the kernels of a room, in one pass over the chunk; whether the mean is empty is asked elsewhere."""
    if not wanted:
        loss: tuple[Array, Array] = room.cross_entropy(rows)
        return loss
    own = rows._replace(options=dataclasses.replace(rows.options, inplace=True, on_empty="nan"))
    loss, square, _ = room.cross_entropy_with_gradient(own, lambda *_: scales)
    return loss, square


def _loss_and_gradient(rows: Rows, scales: Any, wanted: bool, into: Array = None) -> tuple[Array, Array]:
    """The same by the definition, of rows whose gradient goes `into` memory of another library."""
    with np.errstate(all="ignore"):
        if not wanted:
            return agnostic.cross_entropy(rows, _functions)
        loss, square, gradient = agnostic.cross_entropy_with_gradient(rows, lambda *_: scales)
    into = rows.x if into is None else into
    into[...] = namespace(into).asarray(gradient)
    return loss, square


def chunk_stats(rows: Rows) -> tuple[Array, ...]:
    """(lse, entropy, argmax, confidence, log-probability of the target or None) of each row of a chunk, and extras."""
    if not _on_host(rows.x):
        return (*_stats(rows, device.room(rows) or agnostic), *_extras(rows))
    own = _stats(rows, cpu) if cpu.serves(rows) else ()
    if own and not asked(rows):
        return own
    parts = [(*(() if own else _stats(block)), *_extras(block)) for block, _ in _blocks(rows)]
    return (*own, *(_joined(rows.x, column) for column in zip(*parts, strict=True)))


def _stats(rows: Rows, room: Any = agnostic) -> tuple[Array, ...]:
    """The same by one room, the definition unless told otherwise."""
    with np.errstate(all="ignore"):
        given = rows.y is not None or rows.q is not None
        log_prob = room.target_losses(rows, _functions)[1] if given else None
        return *room.moments(rows, _functions), log_prob


def _extras(rows: Rows) -> tuple[Array, ...]:
    """What more is asked of the rows of a block; nothing where nothing is."""
    with np.errstate(all="ignore"):
        return tuple(extras(rows, _functions)) if asked(rows) else ()


def _on_host(x: Array) -> bool:
    """Whether NumPy can look at x's memory."""
    return is_numpy(x) or (x.device.type == "cpu" and not device.on_gpu(x))


def _joined(like: Array, column: Any) -> Array:
    """The results of the blocks in one array of the caller's library."""
    if column[0] is None:
        return None
    return namespace(like).asarray(np.concatenate(column))


def cut(rows: Rows, block: slice) -> Rows:
    """Some rows of a chunk."""
    names = ("x", "y", "q", "live", "sample_weight", "where", "chosen")
    parts = {name: part for name in names if (part := getattr(rows, name)) is not None}
    if rows.where is not None and rows.where.ndim == 1:
        del parts["where"]
    return rows._replace(**{name: part[block] for name, part in parts.items()})


def blocks(rows: Rows) -> list[slice]:
    """The rows of a chunk in blocks that stay in the processor's cache."""
    count, classes = rows.x.shape
    step = max(1, (CACHED if _on_host(rows.x) else LARGE) // classes)
    return [slice(start, start + step) for start in range(0, count, step)]


def _blocks(rows: Rows) -> Iterator[tuple[Rows, Array]]:
    """The chunk in such blocks, as NumPy's, each with the memory of its logits."""
    names = ("y", "q", "live", "weight", "sample_weight", "where", "chosen")
    parts = {name: values(part) for name in names if (part := getattr(rows, name)) is not None}
    wide = np.dtype(dtype_name(rows.sum_dtype))
    own = rows._replace(sum_dtype=wide, dtype=wide, **parts)
    for block in blocks(rows):
        part = cut(own, block)
        yield part._replace(x=values(part.x)), part.x
