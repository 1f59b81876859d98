"""A linear layer with its rows: which of them count, all its logits at once, and derivatives from those."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .._call.arrays import is_numpy, is_torch, move_axis
from .._call.canonical import Layer, Rows
from .._definition import Array, namespace
from . import products


def counted(rows: Rows) -> Array:
    """Where a row is not ignored and has a weight; None where all rows count."""
    counts = rows.live
    if rows.sample_weight is not None:
        weighty = rows.sample_weight != 0
        counts = weighty if counts is None else counts & weighty
    return counts


def selected(layer: Layer) -> Array:
    """x with 0 in the rows that cannot count: ignored, or not finite with a weight of 0."""
    rows, xp = layer.rows, namespace(layer.x)
    counts = rows.live
    if rows.sample_weight is not None:
        finite = xp.all(xp.isfinite(layer.x), axis=-1)
        finite = xp.reshape(finite, (*finite.shape, *(1 for _ in rows.sample_weight.shape[finite.ndim :])))
        sound = (rows.sample_weight != 0) | finite
        counts = sound if counts is None else counts & sound
    if counts is None:
        return layer.x
    inner = tuple(range(layer.x.ndim - 1, counts.ndim))  # of K-dimensional rows
    return xp.where((xp.any(counts, axis=inner) if inner else counts)[..., None], layer.x, 0.0)


def whole(layer: Layer, *, every_row: bool = False) -> Rows:
    """The rows with all their logits, in differentiable operations: the definition, and what small batches take."""
    x = layer.x if every_row else selected(layer)
    classes, *outputs = layer.weight.shape[:-1]
    batch = x.shape[:-1]
    z = _linear(x, layer)
    if outputs:
        z = move_axis(namespace(z).reshape(z, (*batch, classes, *outputs)), len(batch), -1)
    return layer.rows._replace(x=z)


def _linear(x: Array, layer: Layer) -> Array:
    """x·Wᵀ + b."""
    weight, bias = layer.weight, layer.bias
    if weight.ndim > 2:
        xp = namespace(weight)
        weight = xp.reshape(weight, (-1, weight.shape[-1]))
        bias = None if bias is None else xp.reshape(bias, (-1,))
    if is_torch(x):
        return sys.modules["torch"].nn.functional.linear(x, weight, bias)
    xp = namespace(x)
    x, weight = (xp.astype(part, layer.dtype, copy=False) for part in (x, weight))
    with np.errstate(all="ignore") if is_numpy(x) else contextlib.nullcontext():  # see products
        z = xp.matmul(x, xp.matrix_transpose(weight))
    return z if bias is None else z + xp.astype(bias, layer.dtype, copy=False)


def unattached(layer: Layer) -> Layer:
    """The same without autograd's history."""
    if not is_torch(layer.x):
        return layer
    tensors = {name: part.detach() for name, part in layer.rows._asdict().items() if hasattr(part, "detach")}
    bias = None if layer.bias is None else layer.bias.detach()
    return Layer(layer.x.detach(), layer.weight.detach(), bias, layer.rows._replace(**tensors), layer.dtype)


def rounded(layer: Layer, parts: Any) -> list[Array]:
    """Derivatives in the shape and dtype of what they are by."""
    pairs = zip(parts, (layer.x, layer.weight, layer.bias), strict=True)
    return [None if p is None else products.cast(namespace(p).reshape(p, like.shape), like.dtype) for p, like in pairs]


def value_and_gradients(layer: Layer, formed: Callable[[Rows], tuple[Array, Array]]) -> tuple[Array, list[Array]]:
    """The value and the derivatives by x, W and b from all the logits; `formed` gives the value and that by them."""
    xp = namespace(layer.x)
    value, z = formed(whole(layer))
    z = move_axis(z, -1, layer.x.ndim - 1)
    z = xp.reshape(z, (-1, math.prod(layer.weight.shape[:-1])))
    x, weight = (
        xp.astype(xp.reshape(p, (-1, p.shape[-1])), z.dtype, copy=False) for p in (selected(layer), layer.weight)
    )
    parts = [xp.matmul(z, weight), xp.matmul(xp.matrix_transpose(z), x)]
    parts.append(None if layer.bias is None else xp.sum(z, axis=0))
    return value, rounded(layer, parts)
