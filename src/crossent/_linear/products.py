"""The three matrix products of a linear layer, by NumPy's or torch's own routine, into memory that is there already.

A weight gradient is summed over chunks in float32 or wider. torch has no product of bfloat16 that gives float32 on a
CPU, so there each chunk's product is rounded once and the chunks are added in float32, a block of classes at a time.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .._call.arrays import is_torch
from .._definition import Array, namespace
from ..backends import cpu
from . import device

BLOCK = 4096  # classes whose products lie beside the sum at one time


def buffer(like: Array, shape: tuple[int, ...], dtype: Any, *, zero: bool = False, kept: bool = True) -> Array:
    """Memory in the library of an array, on its device; huge pages unless `zero` or not `kept` for the next call."""
    if is_torch(like):
        if zero or not kept or like.device.type != "cpu" or device.on_gpu(like):
            return (like.new_zeros if zero else like.new_empty)(shape, dtype=dtype)
        return cpu.empty_like(like.new_empty((), dtype=dtype).expand(shape))
    if zero or not kept:
        return (np.zeros if zero else np.empty)(shape, dtype)
    return cpu.empty_like(np.broadcast_to(np.empty((), dtype), shape))


def cast(x: Array, dtype: Any) -> Array:
    """x in a dtype, itself where it has it."""
    if x.dtype == dtype:
        return x
    return x.to(dtype) if is_torch(x) else namespace(x).astype(x, dtype)


def _numpy_product(a: Array, b: Array, out: Array = None) -> Array:
    """a·b; BLAS may raise floating-point flags for what lies beside its operands, and NaN is met knowingly."""
    with np.errstate(all="ignore"):
        return np.matmul(a, b, out=out)


def logits(x: Array, weight: Array, bias: Array, out: Array) -> None:
    """x·Wᵀ + b."""
    if not is_torch(x):
        _numpy_product(x, weight.T, out)
        if bias is not None:
            out += bias
        return
    torch = sys.modules["torch"]
    if bias is None:
        torch.mm(x, weight.t(), out=out)
    else:
        torch.addmm(bias, x, weight.t(), out=out)


def input_gradient(z: Array, weight: Array, out: Array) -> None:
    """G·W, each element one sum over the classes, rounded once."""
    if is_torch(z):
        sys.modules["torch"].mm(z, weight, out=out)
    else:
        _numpy_product(z, weight, out)


def add_weight_gradient(total: Array, z: Array, x: Array, *, first: bool) -> None:
    """Gᵀ·x, added to the sum over the chunks; the first is written."""
    if is_torch(z) and total.dtype == z.dtype:
        sys.modules["torch"].addmm(total, z.t(), x, beta=0 if first else 1, out=total)
        return
    if device.on_gpu(z):
        add_wide_product(total, z.t(), x, first=first)
        return
    for start in range(0, len(total), BLOCK):
        block = slice(start, start + BLOCK)
        part = sys.modules["torch"].mm(z[:, block].t(), x) if is_torch(z) else _numpy_product(z[:, block].T, x)
        if first:
            total[block] = part
        else:
            total[block] += part


def add_wide_product(total: Array, a: Array, b: Array, *, first: bool) -> None:
    """a·b of sixteen bits, added in float32 to a sum in float32 by the product itself; the first is written."""
    torch = sys.modules["torch"]
    if first:
        torch.mm(a, b, out_dtype=total.dtype, out=total)
    else:
        torch.addmm(total, a, b, out_dtype=total.dtype, out=total)


def taken_out(z: Array, x: Array, y: Array, dtype: Any) -> Any:
    """Of a chunk whose product would be rounded: (classes, gradient at the class of each row times x), and 0 left in z.

    The numbers at the rows' own classes are by far the largest; their product is formed in `dtype`, that of the sums,
    so that what is rounded chunk by chunk is small. None where the product is not rounded.
    """
    if not is_torch(z) or device.on_gpu(z) or z.device.type != "cpu" or z.element_size() >= 4:
        return None
    index = y.clamp(0, z.shape[1] - 1)[:, None]
    own = z.gather(1, index).to(dtype) * x.to(dtype)
    z.scatter_(1, index, 0.0)
    return index[:, 0], own


def add_bias_gradient(total: Array, z: Array) -> None:
    """The sum of the rows of G, added to the sum over the chunks."""
    total += z.sum(0, dtype=total.dtype)
