"""Arrays as the kernels take them: an address and strides in elements, of NumPy arrays and CPU tensors alike."""

from __future__ import annotations

import ctypes
import functools
import math
import sys
import weakref
from typing import Any

import numpy as np

from ..._call.arrays import dtype_name, is_torch
from ..._definition import Array
from ._extension import kernels

TYPES = {"float32": 0, "float64": 1, "bfloat16": 2, "float16": 3}
MOST_AXES = 8
LARGE = 1 << 20  # bytes from which memory in huge pages pays
NOTHING: tuple[int, tuple[int, ...]] = (0, ())


def viewable(x: Array) -> bool:
    """Whether a kernel can read x where it lies: host memory, native bytes, strides of whole elements."""
    if not isinstance(x, np.ndarray):
        return is_torch(x) and not (x.is_neg() or x.is_conj())
    size = x.itemsize
    return x.dtype.isnative and x.flags.aligned and not any(map(size.__rmod__, x.strides))


def address(x: Array) -> int:
    """Where x begins."""
    return int(x.__array_interface__["data"][0] if isinstance(x, np.ndarray) else x.data_ptr())


def strides(x: Array) -> tuple[int, ...]:
    """The strides of x in elements."""
    return tuple(map(x.itemsize.__rfloordiv__, x.strides) if isinstance(x, np.ndarray) else x.stride())


def view(x: Array) -> tuple[int, tuple[int, ...]]:
    """(address, strides) of x; of nothing for None."""
    if x is None:
        return NOTHING
    if type(x) is np.ndarray:  # in one go: this is a good part of a small call
        return x.__array_interface__["data"][0], tuple(map(x.itemsize.__rfloordiv__, x.strides))
    return (address(x), strides(x)) if isinstance(x, np.ndarray) else (x.data_ptr(), x.stride())


@functools.cache
def number_of(dtype: Any) -> int | None:
    """The kernels' number of a dtype of NumPy's or torch's, None where they do not have it."""
    return TYPES.get(dtype_name(dtype))


@functools.cache
def is_wide(dtype: Any) -> bool:
    """Whether sums are in float64."""
    return dtype_name(dtype) == "float64"


def empty(shape: tuple[int, ...], like: Array, dtype: Any) -> Array:
    """An array of like's library, not filled."""
    return like.new_empty(shape, dtype=dtype) if is_torch(like) else np.empty(shape, dtype)


def empty_like(x: Array) -> Array:
    """A result in x's shape, dtype and order of axes; a large one in memory of huge pages.

    Fresh pages cost as much as the arithmetic: a page fault each, and the zeroing. See kernels/memory.cpp.
    """
    if math.prod(x.shape) * x.itemsize < LARGE or kernels() is None:
        return sys.modules["torch"].empty_like(x) if is_torch(x) else np.empty_like(x, subok=False)
    own = strides(x)
    if list(own) == sorted(own, reverse=True):
        flat = _reserved(math.prod(x.shape), x)
        return flat.view(x.shape) if is_torch(x) else flat.reshape(x.shape)
    order = sorted(range(x.ndim), key=lambda axis: -abs(own[axis]))
    flat = _reserved(math.prod(x.shape), x)
    back = tuple(order.index(axis) for axis in range(x.ndim))
    shape = tuple(x.shape[axis] for axis in order)
    return flat.view(shape).permute(back) if is_torch(x) else flat.reshape(shape).transpose(back)


def _reserved(count: int, like: Array) -> Array:
    """Memory of the kernels' allocator as a flat array, which gives it back when its last owner lets go."""
    extension, size = kernels(), count * like.itemsize
    place = extension.reserve(size)
    block = (ctypes.c_char * size).from_address(place)
    weakref.finalize(block, extension.release, place, size).atexit = False
    if is_torch(like):
        return sys.modules["torch"].frombuffer(block, dtype=like.dtype)
    return np.frombuffer(block, dtype=like.dtype)
