"""The passes over the chunks: a loss with its gradients, the rows' own gradients, statistics."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .. import _reduction
from .._call.arrays import dtype_name, readable
from .._call.canonical import Layer, Rows
from .._definition import Array, namespace
from .._statistics import asked
from . import chunks, products
from .block import chunk_loss_and_gradient, chunk_stats
from .chunks import Gradients, Wanted
from .layer import counted, rounded


class Pass(NamedTuple):
    """A forward pass: the reduced loss; for each row its loss and (lse, entropy, argmax, confidence, log q) or None.

    `gradients` are those by x (rows, D), weight and bias, None where not wanted, `factor` times too large.
    """

    value: Array
    loss: Array
    stats: Any
    gradients: Gradients
    factor: float


def forward(layer: Layer, wanted: Wanted = (False, False, False), *, stats: bool = False) -> Pass:
    """The loss and, of a reduced one, the gradients wanted."""
    rows, batch = layer.rows, tuple(layer.x.shape[:-1])
    loss = products.buffer(layer.x, batch, rows.sum_dtype, zero=True)
    square = None if rows.options.z_loss == 0 else products.buffer(layer.x, batch, rows.sum_dtype, zero=True)
    told = _stats_memory(layer, batch) if stats else None
    scales = _reduction.scales(rows, loss)
    larger = factor(layer.dtype, rows.options.reduction, scales[0], math.prod(batch))
    scales = tuple(_number(scale, larger) for scale in scales)

    def visit(part: Rows, place: Any) -> None:
        if told is not None:
            _put(told, place, chunk_stats(part))
        _put((loss, square), place, chunk_loss_and_gradient(part, scales, wanted=any(wanted)))

    counts = counted(rows)
    gradients = chunks.walk(layer if stats else _of_those(layer, counts), visit, wanted, counts, every_row=stats)
    own = loss if square is None else loss + rows.options.z_loss * square
    return Pass(_reduction.reduce_rows(rows, loss, square), own, told, gradients, larger)


def value_and_gradients(layer: Layer) -> tuple[Array, list[Array]]:
    """The value and the derivatives by x, weight and bias, of the sum of the rows for reduction="none"."""
    done = forward(layer, (True, True, layer.bias is not None))
    parts = [part if part is None or done.factor == 1 else part / done.factor for part in done.gradients]
    return done.value, rounded(layer, parts)


def row_gradients(layer: Layer, wanted: Wanted, upstream: Array) -> Gradients:
    """The gradients of ⟨upstream, loss of each row⟩: the logits are formed again, chunk by chunk."""
    rows = layer.rows
    upstream = upstream if rows.sample_weight is None else upstream * rows.sample_weight
    weighted = rows._replace(sample_weight=upstream)
    counts = counted(weighted)
    layer = _of_those(layer._replace(rows=weighted), counts)

    def visit(part: Rows, _place: Any) -> None:
        chunk_loss_and_gradient(part, (1.0, rows.options.z_loss), wanted=True)

    return chunks.walk(layer, visit, wanted, counts)


def _of_those(layer: Layer, counts: Array) -> Layer:
    """The layer whose rows, where the others are left out, all count."""
    left_out = counts is not None and readable(counts)
    return layer._replace(rows=layer.rows._replace(live=None)) if left_out else layer


def statistics(layer: Layer) -> tuple[Array, ...]:
    """(lse, entropy, argmax, confidence, None) of each row, without a target, and extras."""
    told = _stats_memory(layer, tuple(layer.x.shape[:-1]))
    chunks.walk(
        layer, lambda part, place: _put(told, place, chunk_stats(part)), (False, False, False), None, every_row=True
    )
    return told


def _put(arrays: Any, place: Any, parts: Any) -> None:
    """Results of a chunk at their places, counted over all rows: arrays of their own, written through a flat view."""
    for array, part in zip(arrays, parts, strict=True):
        if array is not None:
            array.reshape(-1, *part.shape[1:])[place] = part


def _stats_memory(layer: Layer, batch: tuple[int, ...]) -> tuple[Array, ...]:
    """Memory for what `chunk_stats` tells."""
    xp = namespace(layer.x)
    kinds = [layer.rows.sum_dtype] * 5
    kinds[2] = xp.int64
    given = layer.rows.y is not None or layer.rows.q is not None
    own = [products.buffer(layer.x, batch, kind, zero=True) if given or k < 4 else None for k, kind in enumerate(kinds)]
    return (*own, *_extras_memory(layer, batch))


def _extras_memory(layer: Layer, batch: tuple[int, ...]) -> tuple[Array, ...]:
    """Memory for what more is asked; nothing where nothing is."""
    rows, kind = layer.rows, layer.rows.sum_dtype
    if not asked(rows):
        return ()
    count: int = (rows.options.top_k or 0) if rows.chosen is None else rows.chosen.shape[-1]
    wanted = (rows.options.extra, rows.options.extra, bool(count), bool(count))
    shapes = (batch, batch, (*batch, count), (*batch, count))
    kinds = (kind, kind, kind, namespace(layer.x).int64)
    made = zip(wanted, shapes, kinds, strict=True)
    return tuple(products.buffer(layer.x, shape, kind, zero=True) if want else None for want, shape, kind in made)


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
