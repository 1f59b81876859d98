"""The door of the linear losses: a call is checked once and becomes a Head, a linear layer with its rows.

The rows are those of `_door.rows`, checked on a stand-in of the logits' shape that has no memory: the messages, the
options and the canonical form are the same as `cross_entropy`'s.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import Any, NamedTuple

import numpy as np

from .._call.arrays import as_float_array, describe, detached, dtype_name, is_numpy, is_torch, like, move_axis
from .._call.options import Call, Options, Rows
from .._definition import Array, namespace
from ..errors import DtypeError, ShapeError
from . import rows as door


class Head(NamedTuple):
    """A validated linear layer and its rows: logits = x·Wᵀ + b.

    x (…, D), weight (C, …, D), bias (C, …) or None, in the caller's dtype and layout; `rows` as canonical, but its x
    stands in for the logits; the products and the logits are of `dtype`.
    """

    x: Array
    weight: Array
    bias: Array
    rows: Rows
    dtype: Any

    @property
    def classes(self) -> int:
        """C."""
        return int(self.weight.shape[0])


def head(
    function: str, input: Any, linear_weight: Any, target: Any, options: Options, *, needs_target: bool = True
) -> Head:
    """The canonical form of a linear loss: everything about the call checked."""
    x = as_float_array(input, "input")
    weight = like(x, as_float_array(linear_weight, "linear_weight"), "linear_weight")
    target = like(x, target, "target") if needs_target or target is not None else None
    call = Call(function, x, target, options, weight)
    _check_layer(call, x, weight)
    bias = _bias(call, x, weight)
    casts = _autocast(x, weight)
    if casts is None and x.dtype != weight.dtype:
        text = f"input has dtype {dtype_name(x.dtype)}, but linear_weight {dtype_name(weight.dtype)}"
        raise DtypeError(f"{text}: give both in one dtype — in {call}")
    x, target, options = _shifted(call, x, target, options)
    shape = (*x.shape[:-1], *weight.shape[:-1])
    rows = door.canonical(
        call, _stand_in(x, shape, casts or x.dtype), target, x.ndim - 1, dataclasses.replace(options, axis=-1)
    )
    return Head(x, weight, bias, rows, casts or _product_dtype(x))


def _check_layer(call: Call, x: Array, weight: Array) -> None:
    """input (…, D) and linear_weight (C, D), or (C, d₁, …, D) for rows (N, D)."""
    if x.ndim == 0:
        raise ShapeError(f"input is a single number, expected (D,), (N, D) or (…, D) — in {call}")
    if weight.ndim < 2:
        raise ShapeError(f"linear_weight has shape {tuple(weight.shape)}, expected (C, {x.shape[-1]}) — in {call}")
    if weight.shape[-1] != x.shape[-1]:
        text = f"input has {x.shape[-1]} features, but linear_weight {weight.shape[-1]} on its last axis"
        turned = weight.ndim == 2 and weight.shape[0] == x.shape[-1]
        fix = "use linear_weight.T" if turned else f"expected linear_weight (C, {x.shape[-1]})"
        raise ShapeError(f"{text}: {fix} — in {call}")
    if weight.ndim > 2 and x.ndim != 2:
        text = f"linear_weight of {weight.ndim} axes needs input (N, {x.shape[-1]})"
        raise ShapeError(f"{text}: use a linear_weight (C, {x.shape[-1]}) — in {call}")


def _bias(call: Call, x: Array, weight: Array) -> Array:
    """The bias (C,), or None."""
    if call.options.linear_bias is None:
        return None
    bias = like(x, as_float_array(call.options.linear_bias, "linear_bias"), "linear_bias")
    if tuple(bias.shape) != tuple(weight.shape[:-1]):
        text = f"linear_bias has shape {tuple(bias.shape)}, expected {tuple(weight.shape[:-1])}"
        raise ShapeError(f"{text}: one number a class — in {call}")
    if bias.dtype != weight.dtype:
        text = f"linear_bias has dtype {dtype_name(bias.dtype)}, but linear_weight {dtype_name(weight.dtype)}"
        raise DtypeError(f"{text}: give both in one dtype — in {call}")
    return bias


def _autocast(x: Array, weight: Array) -> Any:
    """The dtype that torch's autocast gives a matrix product here, or None."""
    if not is_torch(x):
        return None
    torch = sys.modules["torch"]
    place = x.device.type
    if torch.float64 in (x.dtype, weight.dtype) or not torch.is_autocast_enabled(place):
        return None
    return torch.get_autocast_dtype(place)


def _product_dtype(x: Array) -> Any:
    """The dtype of the products: x's own, but float32 for sixteen bits in NumPy, whose loops would sum in sixteen."""
    narrow = is_numpy(x) and dtype_name(x.dtype) in ("float16", "bfloat16")
    return np.dtype(np.float32) if narrow else x.dtype


def _stand_in(x: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of the logits' shape in the memory of one number."""
    xp = namespace(x)
    return xp.broadcast_to(xp.zeros((), dtype=dtype, device=getattr(x, "device", None)), shape)


def _shifted(call: Call, x: Array, target: Array, options: Options) -> tuple[Array, Array, Options]:
    """Position i of the second-to-last axis beside target i + shift, as views."""
    shift = options.shift
    if not shift:
        return x, target, options
    batch = tuple(x.shape[:-1])
    if not batch or shift >= batch[-1]:
        text = (
            f"shift={shift}, but input {describe(x)} has {batch[-1] if batch else 'no'} positions before its last axis"
        )
        raise ShapeError(f"{text}: expected input (…, L, D) with L > shift — in {call}")
    if target is not None and tuple(target.shape[: len(batch)]) != batch:
        text = f"target has shape {tuple(target.shape)}, expected {batch}"
        raise ShapeError(f"{text}: with shift={shift} give input and target of the same positions — in {call}")
    here = (*(slice(None) for _ in batch[:-1]), slice(shift, None), ...)  # of what belongs to the target
    weights, where = (None if p is None else like(x, p, n) for n, p in _of_target(options).items())
    if weights is not None and tuple(weights.shape) == batch:
        weights = weights[here]
    if where is not None and where.ndim > 1 and where.shape[-2] == batch[-1]:
        where = where[..., shift:, :]
    options = dataclasses.replace(options, sample_weight=weights, where=where)
    return x[..., :-shift, :], None if target is None else target[here], options


def _of_target(options: Options) -> dict[str, Any]:
    """The options that are shifted with the target."""
    return {"sample_weight": options.sample_weight, "where": options.where}


def counted(rows: Rows) -> Array:
    """Where a row is not ignored and has a weight; None where all rows count."""
    counts = rows.live
    if rows.sample_weight is not None:
        weighty = rows.sample_weight != 0
        counts = weighty if counts is None else counts & weighty
    return counts


def selected(head: Head) -> Array:
    """x with 0 in the rows that cannot count: ignored, or not finite with a weight of 0."""
    rows, xp = head.rows, namespace(head.x)
    counts = rows.live
    if rows.sample_weight is not None:
        finite = xp.all(xp.isfinite(head.x), axis=-1)
        finite = xp.reshape(finite, (*finite.shape, *(1 for _ in rows.sample_weight.shape[finite.ndim :])))
        sound = (rows.sample_weight != 0) | finite
        counts = sound if counts is None else counts & sound
    if counts is None:
        return head.x
    inner = tuple(range(head.x.ndim - 1, counts.ndim))  # of K-dimensional rows
    return xp.where((xp.any(counts, axis=inner) if inner else counts)[..., None], head.x, 0.0)


def whole(head: Head, *, every_row: bool = False) -> Rows:
    """The rows with all their logits, in differentiable operations: the definition, and what small batches take."""
    x = head.x if every_row else selected(head)
    classes, *outputs = head.weight.shape[:-1]
    batch = x.shape[:-1]
    z = _linear(x, head)
    if outputs:
        z = move_axis(namespace(z).reshape(z, (*batch, classes, *outputs)), len(batch), -1)
    return head.rows._replace(x=z)


def _linear(x: Array, head: Head) -> Array:
    """x·Wᵀ + b."""
    weight, bias = head.weight, head.bias
    if weight.ndim > 2:
        xp = namespace(weight)
        weight = xp.reshape(weight, (-1, weight.shape[-1]))
        bias = None if bias is None else xp.reshape(bias, (-1,))
    if is_torch(x):
        return sys.modules["torch"].nn.functional.linear(x, weight, bias)
    xp = namespace(x)
    x, weight = (xp.astype(part, head.dtype, copy=False) for part in (x, weight))
    with np.errstate(all="ignore") if is_numpy(x) else contextlib.nullcontext():  # see products
        z = xp.matmul(x, xp.matrix_transpose(weight))
    return z if bias is None else z + xp.astype(bias, head.dtype, copy=False)


def unattached(head: Head) -> Head:
    """The same without autograd's history."""
    rows = head.rows._replace(**{name: detached(part) for name, part in head.rows._asdict().items()})
    return Head(detached(head.x), detached(head.weight), detached(head.bias), rows, head.dtype)
