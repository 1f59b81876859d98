"""The door of the linear losses: a call is checked once and becomes a Layer, a linear layer with its rows.

The rows are those of `_door.rows`, checked on a stand-in of the logits' shape that has no memory: the messages, the
options and the canonical form are the same as `cross_entropy`'s.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from .._call.arrays import as_float_array, describe, dtype_name, is_numpy, is_torch, like
from .._call.canonical import Call, Layer
from .._call.options import Options
from .._definition import Array, namespace
from ..errors import DtypeError, ShapeError
from . import rows as door


def layer(
    function: str, input: Any, linear_weight: Any, target: Any, options: Options, *, needs_target: bool = True
) -> Layer:
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
    return Layer(x, weight, bias, rows, casts or _product_dtype(x))


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
