"""A call of a loss in the form that the kernels take: tensors of rows, their strides, numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..._call.canonical import Rows
from ..._definition import Array
from . import flags
from .layout import Strides, alignment, as_rows, bits, contiguous, matrix

Numbers = tuple[float, float]
Scale = Any  # a number, a tensor of one, or one for each row: the last two stay on the device


class Along(NamedTuple):
    """What the gradient of a row's loss and lse² is multiplied by: numbers times, where there are any, tensors.

    `pointers` are the cotangents of loss and lse² and the divisors, which come in `parts` (see `statistics.divisors`).
    """

    pointers: tuple[Array, Array, Array]
    strides: tuple[int, int]
    numbers: tuple[Any, Any]
    parts: int


def along(
    rows: int, one: Scale = None, square: Scale = None, times: Numbers = (1.0, 1.0), by: tuple[Array, int] = (None, 0)
) -> Along:
    """The cotangents of loss and lse², None for 1, times numbers, over the divisors `by` in their parts."""
    pointers, strides, numbers = zip(_scale(one, rows, times[0]), _scale(square, rows, times[1]), strict=True)
    return Along((*pointers, by[0]), strides, numbers, by[1])


def _scale(value: Scale, rows: int, times: float) -> tuple[Array, int, Any]:
    """(tensor or None, its stride from row to row, number)."""
    if not isinstance(value, torch.Tensor):
        return None, 0, bits(times if value is None else float(value) * times)
    flat = value.detach().reshape(-1) if value.numel() == 1 else value.detach().reshape(rows)
    return flat, 0 if flat.numel() == 1 else flat.stride(0), bits(times)


class Call(NamedTuple):
    """The arguments that the kernels of a loss share; `target` and `options` in the order of `losses`."""

    x: Array
    rows: Strides
    number: int
    classes: int
    target: tuple[Array, ...]  # y, q, where, weight, sample_weight
    strides: tuple[int, int]  # of the rows of q and where
    flag: Array
    options: tuple[Any, ...]  # ignore_index, label_smoothing, softcap, temperature; None where off
    dense: bool  # the target has a number for each class
    even: bool  # or is one class, smoothed evenly over all

    def layout(self, out: Strides, factors: Along) -> tuple[int | None, ...]:
        """All strides in one tuple: see `losses`."""
        return (*self.rows, out.outer, out.step, *self.strides, *factors.strides)

    def alignment(self, out: Array, steps: Strides) -> int:
        """See `layout.alignment`: of the logits, the output, dense targets and the mask."""
        return alignment(
            self.classes,
            (self.x, self.rows[1:]),
            (out, steps[1:]),
            (self.target[1], self.strides[:1]),
            (self.target[2], self.strides[1:]),
        )

    def output(self, out: Array) -> Strides:
        """The strides of an output: contiguous, or the logits' own."""
        own = out is None or out is self.x
        return self.rows if own else contiguous(self.rows, self.classes)


def _vector(x: Array, rows: int) -> Array:
    """One number a row, one after the other."""
    return None if x is None else x.reshape(rows).contiguous()


def _matrix(x: Array, rows: int) -> tuple[Array, int]:
    """See `layout.matrix`; None stays None."""
    return (None, 0) if x is None else matrix(x.detach(), rows)


def call_of(rows: Rows) -> Call:
    """The canonical rows as the kernels take them."""
    options = rows.options
    x, own = as_rows(rows.x.detach())
    classes = x.shape[-1]
    count = x.numel() // classes
    q, q_stride = _matrix(rows.q, count)
    where, where_stride = _matrix(rows.where, count)
    given = (
        options.label_smoothing or None,
        options.softcap,
        None if options.temperature == 1 else options.temperature,
    )
    return Call(
        x=x,
        rows=own,
        number=count,
        classes=classes,
        target=(
            _vector(rows.y, count),
            q,
            None if where is None else where.view(torch.uint8),
            None if rows.weight is None else rows.weight.detach().contiguous(),
            _vector(rows.sample_weight, count),
        ),
        strides=(q_stride, where_stride),
        flag=flags.of(x.device, classes),
        options=(options.ignore_index, *(bits(x) for x in given)),
        dense=rows.y is None or _spread(rows),
        even=rows.y is not None and bool(options.label_smoothing) and not _spread(rows),
    )


def _spread(rows: Rows) -> bool:
    """Whether smoothing gives the classes different shares: weights, or classes that do not exist."""
    return bool(rows.options.label_smoothing) and (rows.weight is not None or rows.where is not None)
