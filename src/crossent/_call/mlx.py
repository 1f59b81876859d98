"""MLX in the array-API standard's spelling, where it has its own; the rest is MLX's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

Array = Any
bool = mx.bool_  # the standard's name


def __getattr__(name: str) -> Any:
    """What MLX spells as the standard does."""
    return getattr(mx, name)


def _placed(make: Callable[..., Array]) -> Callable[..., Array]:
    """A function that makes arrays, with the standard's `device`: memory is one."""

    def made(*args: Any, device: Any = None, **options: Any) -> Array:
        return make(*args, **options)

    return made


arange, full, ones, zeros, ones_like, zeros_like = (
    _placed(make) for make in (mx.arange, mx.full, mx.ones, mx.zeros, mx.ones_like, mx.zeros_like)
)


def asarray(x: Any, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Array:
    """x as an array; what NumPy holds is copied, float64 kept where there is float64."""
    wide = getattr(x, "dtype", None) == np.float64 and mx.default_device() == mx.Device(mx.cpu)
    own = x if isinstance(x, mx.array) else mx.array(x, mx.float64) if wide else mx.array(x)
    return own if dtype is None else own.astype(dtype)


def astype(x: Array, dtype: Any, *, copy: Any = True, device: Any = None) -> Array:
    """x in another dtype."""
    return x if x.dtype == dtype else x.astype(dtype)


def exp(x: Array) -> Array:
    """The exponential. MLX's own is no more exact in float64 than in float32; the one less 1 is."""
    if x.dtype != mx.float64:
        return mx.exp(x)
    large = mx.expm1(mx.abs(x)) + 1
    return mx.where(x < 0, 1 / large, large)


def _axes(x: Array, source: Sequence[int]) -> list[int]:
    """All axes of x, those that are named counted from its front."""
    return [axis % x.ndim for axis in source]


def permute_dims(x: Array, axes: Sequence[int]) -> Array:
    """The axes in another order."""
    return mx.transpose(x, _axes(x, axes))


def matrix_transpose(x: Array) -> Array:
    """The last two axes exchanged."""
    return mx.swapaxes(x, -1, -2)


LANES = 16


def _reduced(reduce: Callable[..., Array], nothing: Any, dtype: Any = None) -> Callable[..., Array]:
    """A reduction that gives `nothing` for no numbers, over which MLX's own may not end."""

    def over(x: Array, *, axis: Any = None, keepdims: Any = False) -> Array:
        if 0 not in x.shape:
            return reduce(x, axis=axis, keepdims=keepdims)
        places = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        gone = [place % x.ndim for place in places]
        shape = [1 if k in gone else size for k, size in enumerate(x.shape) if keepdims or k not in gone]
        return mx.full(shape, nothing, x.dtype if dtype is None else dtype)

    return over


def _sum(x: Array, *, axis: Any, keepdims: Any) -> Array:
    """The sum; MLX adds long rows one by one on the CPU, so that what is small beside the first numbers is lost."""
    if axis is None:
        return mx.reshape(_sum(mx.reshape(x, (-1,)), axis=-1, keepdims=False), (1,) * x.ndim if keepdims else ())
    if not isinstance(axis, int) or x.shape[axis] <= LANES:
        return mx.sum(x, axis=axis, keepdims=keepdims)
    x = mx.moveaxis(x, axis, -1)
    whole = x.shape[-1] // LANES * LANES
    lanes = _sum(mx.reshape(x[..., :whole], (*x.shape[:-1], -1, LANES)), axis=-2, keepdims=False)
    total = mx.sum(lanes, axis=-1) + mx.sum(x[..., whole:], axis=-1) if whole < x.shape[-1] else mx.sum(lanes, axis=-1)
    return mx.expand_dims(total, axis) if keepdims else total


sum = _reduced(_sum, 0)
any = _reduced(mx.any, False, mx.bool_)
all = _reduced(mx.all, True, mx.bool_)


def mean(x: Array) -> Array:
    """The mean of all numbers."""
    return sum(x) / max(x.size, 1)


def argmax(x: Array, *, axis: int) -> Array:
    """The place of the maximum; of no rows none."""
    if 0 not in x.shape:
        return mx.argmax(x, axis=axis).astype(mx.int64)
    return mx.zeros([size for place, size in enumerate(x.shape) if place != axis % x.ndim], mx.int64)


def argsort(x: Array, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Array:
    """The places in order; of equal numbers the first comes first, which MLX's merge sort keeps."""
    return mx.stop_gradient(mx.argsort(-x if descending else x, axis=axis).astype(mx.int64))


def has_values(x: Array) -> Any:
    """Whether the numbers of x may be looked at: on the CPU, outside of mlx.core.compile and vmap."""
    if mx.default_device() != mx.Device(mx.cpu):
        return False
    try:
        mx.eval(x)
    except (RuntimeError, ValueError):
        return False
    return True


def to_numpy(x: Array) -> Array:
    """The numbers of x as NumPy's; bfloat16 as float32."""
    return np.asarray(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x)
