"""A linear loss chunk by chunk: the logits of some rows at a time, overwritten by their gradient, then the products.

The divisor of a mean is known from the targets and the weights alone, so the gradient of a chunk is final when it is
formed. Rows that do not count cost no product on a CPU: they are left out. Elsewhere the host would have to wait to
know their number, so they are selected away.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import _functions, _reduction
from .._call.arrays import dtype_name, is_numpy, is_torch, readable, values
from .._call.options import Rows
from .._definition import Array, namespace
from .._door.layer import Head, counted
from ..backends import agnostic, cpu
from . import products

BUDGET = 48 * 2**20  # bytes of logits at one time
NARROW = 28 * 2**20  # the same of sixteen bits, where the sum of the weight's gradient takes twice that gradient's own
MOST = 4096  # rows of a chunk in float16: the sum of more could leave its range
FEWEST = 128  # rows of a chunk, however many classes there are: fewer make the products slow
CACHED = 2**17  # elements of a block of rows that the definition works on at one time

Visit = Callable[[Rows, Any], None]
Wanted = tuple[bool, bool, bool]
Gradients = tuple[Array, Array, Array]


class Pass(NamedTuple):
    """A forward pass: the reduced loss; for each row its loss and (lse, entropy, argmax, confidence, log q) or None.

    `gradients` are those by x (rows, D), weight and bias, None where not wanted, `factor` times too large.
    """

    value: Array
    loss: Array
    stats: Any
    gradients: Gradients
    factor: float


# --- the seam: the loss of a chunk, its gradient written over its logits ---


def chunk_loss_and_gradient(rows: Rows, scales: tuple[Any, Any], *, wanted: bool) -> tuple[Array, Array]:
    """(loss, lse² or None) of each row of a chunk (n, C).

    If wanted, the derivative of Σ loss·scales[0] + lse²·scales[1] by the logits is written over them, over rows.x.
    """
    if cpu.serves(rows):
        return _by_kernel(rows, scales, wanted)
    if not _on_host(rows.x):
        return _loss_and_gradient(rows, scales, wanted)
    parts = [_loss_and_gradient(block, scales, wanted, into) for block, into in _blocks(rows)]
    return tuple(_joined(rows.x, column) for column in zip(*parts, strict=True))


def _by_kernel(rows: Rows, scales: Any, wanted: bool) -> tuple[Array, Array]:
    """The same by the C++ room, in one pass over the chunk."""
    if not wanted:
        return cpu.cross_entropy(rows)
    own = rows._replace(options=dataclasses.replace(rows.options, inplace=True))
    return cpu.cross_entropy_with_gradient(own, lambda *_: scales)[:2]


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
    """(lse, entropy, argmax, confidence, log-probability of the target or None) of each row of a chunk."""
    if cpu.serves(rows):
        return _stats(rows, cpu)
    if not _on_host(rows.x):
        return _stats(rows)
    parts = [_stats(block) for block, _ in _blocks(rows)]
    return tuple(_joined(rows.x, column) for column in zip(*parts, strict=True))


def _stats(rows: Rows, room: Any = agnostic) -> tuple[Array, ...]:
    """The same by one room, the definition unless told otherwise."""
    with np.errstate(all="ignore"):
        given = rows.y is not None or rows.q is not None
        log_prob = room.target_losses(rows, _functions)[1] if given else None
        return *room.moments(rows, _functions), log_prob


def _on_host(x: Array) -> bool:
    """Whether NumPy can look at x's memory."""
    return is_numpy(x) or x.device.type == "cpu"


def _joined(like: Array, column: Any) -> Array:
    """The results of the blocks in one array of the caller's library."""
    if column[0] is None:
        return None
    return namespace(like).asarray(np.concatenate(column))


def cut(rows: Rows, block: slice) -> Rows:
    """Some rows of a chunk."""
    names = ("x", "y", "q", "live", "sample_weight", "where")
    parts = {name: part for name in names if (part := getattr(rows, name)) is not None}
    if rows.where is not None and rows.where.ndim == 1:
        del parts["where"]
    return rows._replace(**{name: part[block] for name, part in parts.items()})


def blocks(rows: Rows) -> list[slice]:
    """The rows of a chunk in blocks that stay in the processor's cache."""
    count, classes = rows.x.shape
    step = max(1, CACHED // classes)
    return [slice(start, start + step) for start in range(0, count, step)]


def _blocks(rows: Rows) -> Iterator[tuple[Rows, Array]]:
    """The chunk in such blocks, as NumPy's, each with the memory of its logits."""
    names = ("y", "q", "live", "weight", "sample_weight", "where")
    parts = {name: values(part) for name in names if (part := getattr(rows, name)) is not None}
    wide = np.dtype(dtype_name(rows.sum_dtype))
    own = rows._replace(sum_dtype=wide, dtype=wide, **parts)
    for block in blocks(rows):
        part = cut(own, block)
        yield part._replace(x=values(part.x)), part.x


# --- the walk over the chunks ---


def chunk_rows(head: Head, count: int) -> int:
    """How many rows a chunk has: those of the budget, spread evenly."""
    if head.rows.options.chunk_size is not None:
        return head.rows.options.chunk_size
    size = head.dtype.itemsize
    most: int = max((NARROW if size < 4 else BUDGET) // (head.classes * size), FEWEST)
    most = min(most, MOST) if dtype_name(head.dtype) == "float16" else most
    even: int = math.ceil(count / max(1, math.ceil(count / most)))
    return max(1, min(most, -(-even // 16) * 16))


def active(counts: Array) -> Array:
    """The places of the rows that count, flat, where the host can read them; None where all do, or it cannot."""
    if counts is None or not readable(counts):
        return None
    flat = values(counts).reshape(-1)
    index = np.flatnonzero(flat)
    return None if index.size == flat.size else namespace(counts).asarray(index)


def _picker(part: Array, batch: tuple[int, ...]) -> Callable[[Any], Array]:
    """What gives rows of (*batch, …) by flat places: views where the memory allows, else copies of those rows alone."""
    tail = tuple(part.shape[len(batch) :])
    contiguous = part.is_contiguous() if is_torch(part) else part.flags.c_contiguous
    if len(batch) == 1:
        return lambda place: part[place]
    if contiguous or not tail or not batch:
        flat = part.reshape(math.prod(batch), *tail)
        return lambda place: flat[place]
    xp = namespace(part)
    every = xp.arange(math.prod(batch), device=part.device) if is_torch(part) else np.arange(math.prod(batch))
    unravel = getattr(xp, "unravel_index", None) or np.unravel_index
    return lambda place: part[unravel(every[place], batch)]


def _chunk_of(head: Head) -> Callable[[Any, Array], Rows]:
    """What gives the rows at some places, with their logits."""
    rows, batch = head.rows, tuple(head.x.shape[:-1])
    parts = {name: getattr(rows, name) for name in ("y", "q", "live", "sample_weight", "where")}
    shared = rows.where is not None and rows.where.ndim == 1
    own = {name: part for name, part in parts.items() if part is not None and not (shared and name == "where")}
    picks = {name: _picker(part, batch) for name, part in own.items()}

    def chunk(place: Any, z: Array) -> Rows:
        return rows._replace(x=z, **{name: pick(place) for name, pick in picks.items()})

    return chunk


def walk(head: Head, visit: Visit, wanted: Wanted, counts: Array, *, every_row: bool = False) -> Gradients:
    """For each chunk form its logits, `visit` it, and take what was written over them into the gradients wanted.

    `counts` says which rows have a gradient; the others are not even looked at unless `every_row`.
    """
    batch = tuple(head.x.shape[:-1])
    index = None if every_row else active(counts)
    count = math.prod(batch) if index is None else int(index.shape[0])
    weight, bias = (None if part is None else products.cast(part, head.dtype) for part in (head.weight, head.bias))
    totals = _totals(head, math.prod(batch), wanted, whole=index is None, some=count > 0)
    pick, chunk = _picker(head.x, batch), _chunk_of(head)
    mask = None if counts is None or index is not None else counts.reshape(-1)
    size = chunk_rows(head, count)
    memory = products.buffer(head.x, (min(size, count), head.classes), head.dtype, kept=head.dtype.itemsize >= 4)
    for start in range(0, count, size):
        place = slice(start, start + size) if index is None else index[start : start + size]
        x = products.cast(pick(place), head.dtype)
        z = memory[: x.shape[0]]
        products.logits(x, weight, bias, z)
        part = chunk(place, z)
        visit(part, place)
        x = x if mask is None else _select(mask[place], x)
        _accumulate(totals, place, part._replace(x=x), z, weight, first=start == 0)
    return totals


def _totals(head: Head, count: int, wanted: Wanted, *, whole: bool, some: bool) -> Gradients:
    """Memory for the gradients: by x in the dtype of the products, summed over chunks in that of the sums."""
    shapes = ((count, head.x.shape[-1]), head.weight.shape, (head.classes,))
    dtypes = (head.dtype, head.rows.sum_dtype, head.rows.sum_dtype)
    zero = (not whole, not some, True)
    made = zip(shapes, dtypes, zero, wanted, strict=True)
    return tuple(products.buffer(head.x, s, d, zero=z) if w else None for s, d, z, w in made)  # type: ignore[return-value]


def _accumulate(totals: Gradients, place: Any, part: Rows, z: Array, weight: Array, *, first: bool) -> None:
    """What a chunk's gradient z adds to the gradients; part.x is the layer's input. z is used up."""
    by_x, by_weight, by_bias = totals
    x = part.x
    if by_x is not None and isinstance(place, slice):
        products.input_gradient(z, weight, by_x[place])
    elif by_x is not None:
        apart = products.buffer(x, tuple(x.shape), x.dtype)
        products.input_gradient(z, weight, apart)
        by_x[place] = apart
    if by_bias is not None:
        products.add_bias_gradient(by_bias, z)
    if by_weight is not None:
        own = None if part.y is None else products.taken_out(z, x, part.y, by_weight.dtype)
        products.add_weight_gradient(by_weight, z, x, first=first)
        if own is not None:
            by_weight.index_add_(0, *own)


def _select(mask: Array, x: Array) -> Array:
    """x, 0 in the rows that do not count."""
    xp = namespace(x)
    return xp.where(mask[:, None], x, xp.zeros_like(x[:1, :1]))


# --- the passes ---


def forward(head: Head, wanted: Wanted = (False, False, False), *, stats: bool = False) -> Pass:
    """The loss and, of a reduced one, the gradients wanted."""
    rows, batch = head.rows, tuple(head.x.shape[:-1])
    count = math.prod(batch)
    loss = products.buffer(head.x, (count,), rows.sum_dtype, zero=True)
    square = None if rows.options.z_loss == 0 else products.buffer(head.x, (count,), rows.sum_dtype, zero=True)
    told = _stats_memory(head, count) if stats else None
    scales = _reduction.scales(rows, loss.reshape(batch))
    larger = factor(head.dtype, rows.options.reduction, scales[0], count)
    scales = tuple(_number(scale, larger) for scale in scales)

    def visit(part: Rows, place: Any) -> None:
        if told is not None:
            _put(told, place, chunk_stats(part))
        _put((loss, square), place, chunk_loss_and_gradient(part, scales, wanted=any(wanted)))

    counts = counted(rows)
    gradients = walk(head if stats else _of_those(head, counts), visit, wanted, counts, every_row=stats)
    loss, square = loss.reshape(batch), None if square is None else square.reshape(batch)
    own = loss if square is None else loss + rows.options.z_loss * square
    told = None if told is None else tuple(None if part is None else part.reshape(batch) for part in told)
    return Pass(_reduction.reduce_rows(rows, loss, square), own, told, gradients, larger)


def value_and_gradients(head: Head) -> tuple[Array, list[Array]]:
    """The value and the derivatives by x, weight and bias, of the sum of the rows for reduction="none"."""
    done = forward(head, (True, True, head.bias is not None))
    parts = [part if part is None or done.factor == 1 else part / done.factor for part in done.gradients]
    return done.value, rounded(head, parts)


def rounded(head: Head, parts: Any) -> list[Array]:
    """Derivatives in the shape and dtype of what they are by."""
    pairs = zip(parts, (head.x, head.weight, head.bias), strict=True)
    return [None if p is None else products.cast(namespace(p).reshape(p, like.shape), like.dtype) for p, like in pairs]


def row_gradients(head: Head, wanted: Wanted, upstream: Array) -> Gradients:
    """The gradients of ⟨upstream, loss of each row⟩: the logits are formed again, chunk by chunk."""
    rows = head.rows
    upstream = upstream if rows.sample_weight is None else upstream * rows.sample_weight
    weighted = rows._replace(sample_weight=upstream)
    counts = counted(weighted)
    head = _of_those(head._replace(rows=weighted), counts)

    def visit(part: Rows, _place: Any) -> None:
        chunk_loss_and_gradient(part, (1.0, rows.options.z_loss), wanted=True)

    return walk(head, visit, wanted, counts)


def _of_those(head: Head, counts: Array) -> Head:
    """The layer whose rows, where the others are left out, all count."""
    left_out = counts is not None and readable(counts)
    return head._replace(rows=head.rows._replace(live=None)) if left_out else head


def statistics(head: Head) -> tuple[Array, ...]:
    """(lse, entropy, argmax, confidence) of each row, without a target."""
    batch = tuple(head.x.shape[:-1])
    told = _stats_memory(head, math.prod(batch))
    walk(head, lambda part, place: _put(told, place, chunk_stats(part)), (False, False, False), None, every_row=True)
    return tuple(None if part is None else part.reshape(batch) for part in told)


def _put(arrays: Any, place: Any, parts: Any) -> None:
    """Results of a chunk at their places."""
    for array, part in zip(arrays, parts, strict=True):
        if array is not None:
            array[place] = part


def _stats_memory(head: Head, count: int) -> tuple[Array, ...]:
    """Memory for what `chunk_stats` tells."""
    xp = namespace(head.x)
    kinds = [head.rows.sum_dtype] * 5
    kinds[2] = xp.int64
    given = head.rows.y is not None or head.rows.q is not None
    return tuple(
        products.buffer(head.x, (count,), kind, zero=True) if given or k < 4 else None for k, kind in enumerate(kinds)
    )


def factor(dtype: Any, reduction: str, scale: Any, count: int) -> float:
    """A power of two that keeps the gradients of a mean inside float16's range until they are rounded for good.

    It undoes the mean's own scale, where the host can read that, else the number of rows.
    """
    if dtype_name(dtype) != "float16" or reduction != "mean":
        return 1.0
    known = isinstance(scale, float) or readable(scale)
    divisor = (1 / float(scale) if scale else 1.0) if known else float(max(count, 1))
    return 2.0 ** round(math.log2(divisor))


def _number(scale: Any, larger: float) -> Any:
    """A scale, times a factor, as a Python number where it can be read."""
    scale = scale if isinstance(scale, float) or not readable(scale) else float(scale)
    return scale * larger
