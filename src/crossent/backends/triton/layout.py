"""How tensors are handed to the kernels: strides, alignment, and the sizes of blocks."""

from __future__ import annotations

import functools
import struct
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import triton.language as tl

from ..._definition import Array

RESIDENT = 65536  # bytes of a row in the dtype of the sums that a program's registers hold beside the rest
WIDEST = 32  # warps of a program
ASSUMED = 132  # multiprocessors, where there is no device to ask


TRITON = {torch.float32: tl.float32, torch.float64: tl.float64}


def sums(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the sums: float32 or wider."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def bits(number: float | None) -> int | None:
    """A number as the kernels take it: see `blocks.number`."""
    return None if number is None else int(struct.unpack("<q", struct.pack("<d", number))[0])


class Strides(NamedTuple):
    """Rows of a tensor as two loops: row i is at (i // inner)·outer + (i % inner)·step, in elements.

    Of one loop `inner` is None and `outer` 0: nothing there depends on how many rows there are, and so no kernel is
    compiled anew for a batch of another size.
    """

    inner: int | None
    outer: int
    step: int


def strides(x: Array) -> Strides | None:
    """The rows of x (…, C) in that form; None where C has a stride or the others need more than two loops."""
    if x.shape[-1] > 1 and x.stride(-1) != 1:
        return None
    loops: list[tuple[int, int]] = []
    for size, stride in zip(x.shape[:-1], x.stride()[:-1], strict=True):
        if size != 1 and loops and loops[-1][1] == size * stride:
            loops[-1] = (loops[-1][0] * size, stride)
        elif size != 1:
            loops.append((size, stride))
    if len(loops) > 2:
        return None
    inner, step = loops[-1] if loops else (1, 0)
    return Strides(inner, loops[0][1], step) if len(loops) == 2 else Strides(None, 0, step)


def as_rows(x: Array) -> tuple[Array, Strides]:
    """x, or a copy of it where its layout is not one of rows."""
    found = strides(x)
    if found is not None:
        return x, found
    x = x.contiguous()
    return x, Strides(None, 0, x.shape[-1])


def contiguous(rows: Strides, classes: int) -> Strides:
    """The same rows one after the other."""
    return Strides(rows.inner, 0 if rows.inner is None else rows.inner * classes, classes)


def matrix(x: Array, rows: int) -> tuple[Array, int]:
    """A tensor (…, C) of the rows, or one row for all of them, with the stride of its rows."""
    if all(size == 1 or stride == 0 for size, stride in zip(x.shape[:-1], x.stride()[:-1], strict=True)):
        return x[(0,) * (x.ndim - 1)].contiguous() if rows else x, 0
    x = x.reshape(rows, x.shape[-1])
    x = x if x.stride(1) == 1 else x.contiguous()
    return x, x.stride(0)


def alignment(classes: int, *parts: tuple[Array | None, tuple[int, ...]]) -> int:
    """The elements by which every row of the tensors begins and ends: as many as 128 bits hold, or a part of that."""
    ones, most = classes, 16
    for tensor, steps in parts:
        if tensor is not None:
            size = tensor.element_size()
            most = min(most, max(16 // size, 1))
            ones = functools.reduce(int.__or__, steps, ones | tensor.data_ptr() // size)
    return min(ones & -ones, most)


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below a number."""
    return 1 << max(number - 1, 0).bit_length()


def warps(block: int, *, dense: bool = False, whole: bool = False) -> int:
    """Sixteen elements a thread, half as many with dense targets, up to the widest program; twice that of whole rows.

    What a thread does for a row beside its elements takes some hundred instructions: fewer threads do it less often.
    """
    each = (256 if dense else 512) * (2 if whole else 1)
    return min(max(block // each, 1), WIDEST)


def fits(classes: int, dtype: torch.dtype, *, dense: bool = False) -> bool:
    """Whether a row (and its dense targets) stays in the registers of a program between its passes."""
    share = (4 if dtype == torch.float64 else 1) * (2 if dense else 1)
    return power_of_two(classes) * dtype.itemsize <= RESIDENT // share


def sweep_block(classes: int, dtype: torch.dtype, *, gradient: bool) -> int:
    """The columns that a program takes at a time from a row in main memory.

    With a gradient the second sweep is to find the row in the L2 cache, so the program fills a multiprocessor alone.
    """
    most = (16384 if gradient else 8192) // (4 if dtype == torch.float64 else 1)
    return min(max(power_of_two(classes), 64), most)


@functools.lru_cache
def multiprocessors(device: torch.device) -> int:
    """How many of them a device has."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else ASSUMED


def parts(rows: int, classes: int, block: int, device: torch.device) -> int:
    """Into how many parts each row is cut: one, unless the rows alone leave most of the device idle."""
    idle = 2 * multiprocessors(device) // max(rows, 1)
    return max(1, min(idle // 2, -(-classes // block), 64))


def on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device: make it this one."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)
