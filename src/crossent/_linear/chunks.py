"""A linear loss chunk by chunk: the logits of some rows at a time, overwritten by their gradient, then the products.

The divisor of a mean is known from the targets and the weights alone, so the gradient of a chunk is final when it is
formed. Rows that do not count cost no product: they are left out; on a GPU see `device`. Where their number cannot be
known (a graph is recorded, another device) they are selected away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._call.arrays import dtype_name, is_torch, readable, values
from .._call.canonical import Layer, Rows
from .._definition import Array, namespace
from . import device, products

BUDGET = 48 * 2**20  # bytes of logits at one time
NARROW = 28 * 2**20  # the same of sixteen bits, where the sum of the weight's gradient takes twice that gradient's own
MOST = 4096  # rows of a chunk in float16: the sum of more could leave its range
FEWEST = 128  # rows of a chunk, however many classes there are: fewer make the products slow

Visit = Callable[[Rows, Any], None]
Wanted = tuple[bool, bool, bool]
Gradients = tuple[Array, Array, Array]


# --- the walk over the chunks ---


def chunk_rows(layer: Layer, count: int) -> int:
    """How many rows a chunk has: those of the budget, spread evenly."""
    if layer.rows.options.chunk_size is not None:
        return layer.rows.options.chunk_size
    size = layer.dtype.itemsize
    most: int = max(_budget(layer) // (layer.classes * size), FEWEST)
    most = min(most, MOST) if dtype_name(layer.dtype) == "float16" else most
    even: int = math.ceil(count / max(1, math.ceil(count / most)))
    return max(1, min(most, -(-even // 16) * 16))


def _budget(layer: Layer) -> int:
    """The bytes of logits at one time."""
    if device.on_gpu(layer.x):
        return device.BUDGET
    return NARROW if layer.dtype.itemsize < 4 else BUDGET


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


def _chunk_of(layer: Layer) -> Callable[[Any, Array], Rows]:
    """What gives the rows at some places, with their logits."""
    rows, batch = layer.rows, tuple(layer.x.shape[:-1])
    parts = {name: getattr(rows, name) for name in ("y", "q", "live", "sample_weight", "where", "chosen")}
    shared = rows.where is not None and rows.where.ndim == 1
    own = {name: part for name, part in parts.items() if part is not None and not (shared and name == "where")}
    picks = {name: _picker(part, batch) for name, part in own.items()}

    def chunk(place: Any, z: Array) -> Rows:
        return rows._replace(x=z, **{name: pick(place) for name, pick in picks.items()})

    return chunk


def walk(layer: Layer, visit: Visit, wanted: Wanted, counts: Array, *, every_row: bool = False) -> Gradients:
    """For each chunk form its logits, `visit` it, and take what was written over them into the gradients wanted.

    `counts` says which rows have a gradient; the others are not even looked at unless `every_row`.
    """
    batch = tuple(layer.x.shape[:-1])
    index, number = (None, None) if every_row else _places(counts)
    count = math.prod(batch) if index is None else int(index.shape[0])
    weight, bias = (None if part is None else products.cast(part, layer.dtype) for part in (layer.weight, layer.bias))
    pick, chunk = _picker(layer.x, batch), _chunk_of(layer)
    mask = None if counts is None or (index is not None and number is None) else counts.reshape(-1)
    size = chunk_rows(layer, count)
    alone = device.on_gpu(layer.x) and count <= size
    totals = _totals(layer, math.prod(batch), wanted, whole=index is None, some=count > 0, alone=alone)
    memory = products.buffer(layer.x, (min(size, count), layer.classes), layer.dtype, kept=layer.dtype.itemsize >= 4)
    for start in range(0, count, size):
        if start and number is not None and start >= number.value():
            break
        place = slice(start, start + size) if index is None else index[start : start + size]
        x = products.cast(pick(place), layer.dtype)
        z = memory[: x.shape[0]]
        products.logits(x, weight, bias, z)
        part = chunk(place, z)
        visit(part, place)
        x = x if mask is None else _select(mask[place], x)
        _accumulate(totals, place, part._replace(x=x), z, weight, first=start == 0)
    return totals


def _places(counts: Array) -> tuple[Array, Any]:
    """(the places of the rows to be taken, how many of them count): the number None where all do."""
    later = device.ordered(counts)
    return (active(counts), None) if later is None else later


def _totals(layer: Layer, count: int, wanted: Wanted, *, whole: bool, some: bool, alone: bool) -> Gradients:
    """Memory for the gradients: by x in the dtype of the products, summed over chunks in that of the sums.

    Of one chunk `alone` on a GPU, whose products are summed in float32, the weight's is rounded once, as it is formed.
    """
    shapes = ((count, layer.x.shape[-1]), layer.weight.shape, (layer.classes,))
    dtypes = (layer.dtype, layer.dtype if alone else layer.rows.sum_dtype, layer.rows.sum_dtype)
    zero = (not whole, not some, True)
    made = zip(shapes, dtypes, zero, wanted, strict=True)
    return tuple(products.buffer(layer.x, s, d, zero=z) if w else None for s, d, z, w in made)  # type: ignore[return-value]


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
