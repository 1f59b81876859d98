"""The C++ room: NumPy arrays and torch tensors on the CPU, at the speed of memory. See kernels/kernels.h.

It has the functions of `agnostic` for the calls that `serves` accepts, and computes them in one pass over the logits.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from ..._call.arrays import dtype_name, is_numpy, is_torch
from ..._call.canonical import Elements, Rows
from ..._definition import Array, namespace
from . import _extension
from ._extension import describe as describe
from ._extension import kernels as kernels
from ._extension import ready as ready
from ._views import MOST_AXES, NOTHING, TYPES, address, empty, is_wide, number_of, view, viewable
from ._views import empty_like as empty_like

LOSS, SOFTMAX, LOG_SOFTMAX, MOMENTS = range(4)
TAKES = frozenset(("weight", "ignore_index", "label_smoothing", "sample_weight", "z_loss", "softcap", "temperature"))
TAKES_OF_ELEMENTS = TAKES - {"z_loss"} | {"pos_weight"}
SMALL = 1 << 15  # numbers below which one thread is best


def built() -> bool:
    """Whether the kernels are there."""
    return _extension.kernels() is not None


def takes(x: Array, *others: Array) -> bool:
    """Whether the kernels can read these arrays; None is none."""
    if not built() or not (is_numpy(x) or is_torch(x)) or number_of(x.dtype) is None:
        return False
    if not viewable(x) or not 0 < x.ndim <= MOST_AXES + 1:
        return False
    for part in others:  # noqa: SIM110  # all(…) takes a frame an array
        if part is not None and not viewable(part):
            return False
    return True


def serves(rows: Rows) -> bool:
    """Whether these rows are the kernels' work."""
    return (
        rows.options.asked <= TAKES
        and rows.where is None
        and takes(rows.x, rows.y, rows.q, rows.sample_weight, rows.weight)
    )


def _run(
    rows: Rows, output: int, into: Array = None, upstream: Array = None, scales: Any = (1.0, 0.0), **out: Any
) -> None:
    """One call of the kernels; `out` names the arrays shaped like the rows that are to be filled."""
    options, weight = rows.options, rows.weight
    weight = weight if weight is None else namespace(weight).asarray(weight, copy=None)
    if weight is not None and view(weight)[1] != (1,):
        weight = weight.contiguous() if is_torch(weight) else weight.copy()
    targets, places = output == LOSS, [0] * len(OUTPUTS)
    for name, array in out.items():
        places[OUTPUTS[name]] = 0 if array is None else address(array)
    _extension.ready().rows(
        output,
        number_of(rows.x.dtype),
        is_wide(rows.sum_dtype),
        tuple(rows.x.shape[:-1]),
        rows.x.shape[-1],
        *view(rows.x),
        *(view(rows.y) if targets else NOTHING),
        *(view(rows.q) if targets else NOTHING),
        *(view(rows.sample_weight) if targets else NOTHING),
        *view(upstream),
        0 if weight is None else address(weight),
        options.ignore_index,
        float(options.label_smoothing),
        float(options.softcap or 0.0),
        float(options.temperature),
        float(scales[0]),
        float(scales[1]),
        *view(into),
        *places,
    )


OUTPUTS = {"loss": 0, "square": 1, "lse": 2, "entropy": 3, "confidence": 4, "prediction": 5, "others": 6}


def are_distributions(q: Array, tolerance: float) -> bool | None:
    """Whether rows (…, C) of float32 or float64 are not negative and sum to 1; None where the kernels cannot say."""
    if dtype_name(q.dtype) not in ("float32", "float64") or not takes(q) or 0 in q.shape:
        return None
    shape = tuple(q.shape)
    result: bool | None = _extension.ready().distributions(is_wide(q.dtype), shape[:-1], shape[-1], *view(q), tolerance)
    return result


def _losses(rows: Rows) -> dict[str, Array]:
    """The arrays of each row's loss and, with z-loss, of its lse²."""
    batch = tuple(rows.x.shape[:-1])
    squares = None if rows.options.z_loss == 0 else empty(batch, rows.x, rows.sum_dtype)
    return {"loss": empty(batch, rows.x, rows.sum_dtype), "square": squares}


def cross_entropy(rows: Rows, _rules: Any = None) -> tuple[Array, Array]:
    """See agnostic.cross_entropy; one read of the logits."""
    out = _losses(rows)
    _run(rows, LOSS, **out)
    return out["loss"], out["square"]


def cross_entropy_with_gradient(rows: Rows, scales: Any, upstream: Array = None) -> tuple[Array, Array, Array]:
    """See agnostic.cross_entropy_with_gradient; one read of the logits and one write of the gradient.

    `upstream` multiplies the gradient of each row; with the option inplace the gradient is written over the logits.
    """
    out = _losses(rows)
    into = rows.x if rows.options.inplace else empty_like(rows.x)
    _run(rows, LOSS, into, upstream, scales(rows, out["loss"]), **out)
    return out["loss"], out["square"], into


def moments(rows: Rows, _rules: Any = None) -> tuple[Array, Array, Array, Array]:
    """See agnostic.moments."""
    batch = tuple(rows.x.shape[:-1])
    lse, entropy, confidence = (empty(batch, rows.x, rows.sum_dtype) for _ in range(3))
    prediction = empty(batch, rows.x, namespace(rows.x).int64)
    _run(rows, MOMENTS, lse=lse, entropy=entropy, confidence=confidence, prediction=prediction)
    return lse, entropy, prediction, confidence


def target_losses(rows: Rows, _rules: Any = None) -> tuple[Array, Array]:
    """See agnostic.target_losses."""
    loss, square = cross_entropy(rows)
    loss = loss if square is None else loss + rows.options.z_loss * square
    plain = rows._replace(weight=None, sample_weight=None, options=_without_smoothing(rows))
    return loss, -cross_entropy(plain)[0]


def _without_smoothing(rows: Rows) -> Any:
    """The options of a target as it is given."""
    import dataclasses

    return dataclasses.replace(rows.options, label_smoothing=0.0, z_loss=0.0)


def others(rows: Rows) -> tuple[Array, Array]:
    """(r, argmax) of each row."""
    batch = tuple(rows.x.shape[:-1])
    r, place = empty(batch, rows.x, rows.sum_dtype), empty(batch, rows.x, namespace(rows.x).int64)
    _run(rows, MOMENTS, others=r, prediction=place)
    return r, place


def softmax(rows: Rows, _rules: Any = None, factor: Array = None) -> Array:
    """exp(z − m)/(1 + r) of rows without a target, in x's dtype; times a factor of each row."""
    into = empty_like(rows.x)
    _run(rows, SOFTMAX, into, factor)
    return into


def log_softmax(rows: Rows, _rules: Any = None) -> Array:
    """(z − m) − log1p(r)."""
    into = empty_like(rows.x)
    _run(rows, LOG_SOFTMAX, into)
    return into


@functools.cache
def _kind(dtype: Any) -> int | None:
    """The kernels' number of a dtype of NumPy or torch; None where they do not have it, or not in this byte order."""
    return TYPES.get(dtype_name(dtype)) if getattr(dtype, "isnative", True) else None


def plain_softmax(output: int, x: Array) -> Array:
    """softmax or log_softmax over the last axis of a contiguous array, or None where x is not the kernels' work."""
    kernels, kind = _extension.kernels(), _kind(x.dtype)
    if kernels is None or kind is None or not x.shape or 0 in x.shape:
        return None
    if x.is_neg() or not x.is_contiguous() if is_torch(x) else not (x.flags.c_contiguous and x.flags.aligned):
        return None
    classes = x.shape[-1]
    rows = math.prod(x.shape) // classes
    kernels = _extension.ready() if rows * classes > SMALL else kernels
    into = empty_like(x)
    kernels.plain_softmax(output, kind, rows, classes, address(x), address(into))
    return into


def softmax_gradient(p: Array, g: Array) -> Array:
    """p·(g − ⟨p, g⟩) of contiguous tensors of float32 or float64; see `_functions.pull`."""
    classes = p.shape[-1]
    rows = math.prod(p.shape) // classes
    kernels = _extension.ready() if rows * classes > SMALL else _extension.kernels()
    out = empty_like(p)
    kernels.softmax_gradient(is_wide(p.dtype), rows, classes, address(p), address(g), address(out))
    return out


def logsumexp(rows: Rows, _rules: Any = None) -> Array:
    """m + log1p(r) of each row, in the dtype of the sums."""
    lse = empty(tuple(rows.x.shape[:-1]), rows.x, rows.sum_dtype)
    _run(rows, MOMENTS, lse=lse)
    return lse


def serves_binary(call: Elements) -> bool:
    """Whether these elements are the kernels' work: contiguous, weighted element by element or not at all."""
    if not call.options.asked <= TAKES_OF_ELEMENTS:
        return False
    parts = (call.y, call.weight, call.pos_weight)
    return takes(call.x, *parts) and _contiguous(call.x) and _contiguous(call.y) and _period(call) is not None


def _contiguous(x: Array) -> bool:
    """Whether the elements of x lie one after the other."""
    return bool(x.is_contiguous() if is_torch(x) else x.flags.c_contiguous)


def _period(call: Elements) -> int | None:
    """After how many elements pos_weight repeats; None where a weight has another shape than the kernels take."""
    if call.weight is not None and (call.weight.shape != call.x.shape or not _contiguous(call.weight)):
        return None
    if call.pos_weight is None:
        return 1
    length = math.prod(call.pos_weight.shape)
    last = length == 1 or tuple(call.pos_weight.shape) == tuple(call.x.shape[-1:])
    return length if last and _contiguous(call.pos_weight) else None


def binary_cross_entropy_with_logits(call: Elements, _rules: Any = None) -> Array:
    """See agnostic.binary_cross_entropy_with_logits."""
    loss = empty(tuple(call.x.shape), call.x, call.y.dtype)
    _run_binary(call, loss)
    return loss


def binary_gradient(call: Elements, scale: float, upstream: Array = None) -> tuple[float, Array]:
    """(sum of the losses, derivative by x, times a scale and a cotangent of each element), in one pass."""
    into = empty_like(call.x)
    return _run_binary(call, None, into, scale, upstream), into


def _run_binary(call: Elements, loss: Array, into: Array = None, scale: float = 1.0, upstream: Array = None) -> float:
    """One call of the kernels; the sum of the losses."""
    options = call.options
    total: float = _extension.ready().binary(
        number_of(call.x.dtype),
        is_wide(call.y.dtype),
        math.prod(call.x.shape),
        _period(call),
        *(0 if part is None else address(part) for part in (call.x, call.y, call.weight, call.pos_weight, upstream)),
        float(options.label_smoothing),
        float(options.softcap or 0.0),
        float(options.temperature),
        float(scale),
        *(0 if part is None else address(part) for part in (into, loss)),
        False,
    )
    return total
