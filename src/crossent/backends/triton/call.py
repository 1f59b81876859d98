"""A call of a loss in the form that the kernels take: tensors of rows, their strides, numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..._call.canonical import Rows
from ..._definition import Array
from . import flags
from .layout import Strides, alignment, as_rows, bits, contiguous, matrix

Scale = Any  # a number, a tensor of one, or one for each row: the last two stay on the device


class Scaled(NamedTuple):
    """What the losses and the lse² of the rows are multiplied by: numbers times, where there are any, tensors."""

    pointers: tuple[Array, Array]
    strides: tuple[int, int]
    numbers: tuple[Any, Any]


def scaled(one: Scale, square: Scale, rows: int) -> Scaled:
    """The cotangents of loss and lse²; None stands for 1."""
    parts = [_scale(value, rows) for value in (one, square)]
    pointers, strides, numbers = zip(*parts, strict=True)
    return Scaled(pointers, strides, numbers)


def _scale(value: Scale, rows: int) -> tuple[Array, int, Any]:
    """(tensor or None, its stride from row to row, number)."""
    if not isinstance(value, torch.Tensor):
        return None, 0, bits(1.0 if value is None else float(value))
    flat = value.detach().reshape(-1) if value.numel() == 1 else value.detach().reshape(rows)
    return flat, 0 if flat.numel() == 1 else flat.stride(0), bits(1.0)


class Call(NamedTuple):
    """The arguments that the kernels of a loss share; `target` and `numbers` in the order of their parameters."""

    x: Array
    rows: Strides
    number: int
    classes: int
    target: tuple[Array, ...]  # y, q, where, weight, sample_weight
    strides: tuple[int, int]  # of the rows of q and where
    flag: Array
    numbers: tuple[Any, ...]  # ignore_index, label_smoothing, softcap, temperature; None where off
    dense: bool

    def layout(self, out: Strides, factors: Scaled) -> tuple[int, ...]:
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
    numbers = (
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
        flag=flags.of(x.device),
        numbers=(options.ignore_index, *(bits(x) for x in numbers)),
        dense=rows.y is None or bool(options.label_smoothing),
    )
