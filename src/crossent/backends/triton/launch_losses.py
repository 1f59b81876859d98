"""The losses of rows: which kernel for this width and number of rows, and its launch.

Rows that fit take one kernel, others two sweeps of one; where the rows alone leave most of the device idle they are cut
into parts. Nothing here waits for the device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from ..._call.canonical import Rows
from ..._definition import Array
from . import layout, losses
from .call import Call, Scale, call_of, scaled


def empty(rows: Rows, *, wanted: bool = True) -> Array:
    """Memory for one number a row."""
    return torch.empty(rows.x.shape[:-1], dtype=rows.sum_dtype, device=rows.x.device) if wanted else None


def _cut(call: Call, rows: Rows) -> tuple[int, int, int]:
    """(parts of a row, columns of a part, columns at a time)."""
    block = layout.sweep_block(call.classes, rows.sum_dtype, gradient=False)
    parts = layout.parts(call.number, call.classes, block, call.x.device)
    span = -(-call.classes // (parts * block)) * block
    return -(-call.classes // span), span, block


def _forward(call: Call, rows: Rows, loss: Array, square: Array, *, saving: bool) -> Array:
    """Write the losses; the statistics of the rows too if `saving`."""
    parts, span, block = _cut(call, rows)
    state = loss.new_empty((5, call.number, 1)) if saving else None
    partial = state if parts == 1 else loss.new_empty((5, call.number, parts))
    one, own = scaled(None, None, call.number), call.output(None)
    strides, dense, align = call.layout(own, one), call.dense, call.alignment(None, own)
    losses.swept[call.number, parts](
        call.x, None, loss, square, partial, *call.target, *one.pointers, call.flag, strides, call.classes, span,
        *call.numbers, *one.numbers,
        DENSE=dense, BLOCK=block, ALIGN=align, PARTED=parts > 1, num_warps=layout.warps(block, dense=call.dense),
    )  # fmt: skip
    if parts > 1:
        y, _, where, weight, sample_weight = call.target
        ignore, _, softcap, temperature = call.numbers
        losses.finish[call.number,](
            call.x, loss, square, partial, state, y, where, weight, sample_weight, call.flag, strides, call.classes,
            parts, ignore, softcap, temperature,
            DENSE=dense, PARTS=layout.power_of_two(parts), ALIGN=align, num_warps=1,
        )  # fmt: skip
    return state


def cross_entropy(rows: Rows, rules: Any = None, *, saving: bool = False) -> Any:  # noqa: ARG001  # the rooms' signature
    """(loss, lse² or None) of each row; with `saving` also the statistics that `gradient` takes."""
    loss, square = empty(rows), empty(rows, wanted=rows.options.z_loss != 0)
    state = None
    if loss.numel():
        with layout.on(loss.device):
            state = _forward(call_of(rows), rows, loss, square, saving=saving)
    return (loss, square, state) if saving else (loss, square)


def _given(rows: Rows, call: Call, out: Array) -> Array:
    """The gradient as it is returned: the logits themselves where it was written over them; their version tells."""
    if out is not call.x:
        return out
    torch.autograd.graph.increment_version(rows.x)
    return rows.x


def _output(rows: Rows, call: Call) -> Array:
    """Where the gradient goes: fresh memory, or that of the logits themselves, unless the reduction may yet raise."""
    if rows.options.inplace and rows.options.on_empty != "raise" and call.x.data_ptr() == rows.x.data_ptr():
        return call.x
    return torch.empty(rows.x.shape, dtype=rows.x.dtype, device=rows.x.device)


def gradient(rows: Rows, state: Array, g: Scale, g_square: Scale) -> Array:
    """d/dx of the losses and lse² of the rows times their cotangents, from saved statistics, in x's dtype."""
    if not rows.x.numel():
        return torch.empty_like(rows.x)
    call = call_of(rows)
    out = _output(rows, call)
    factors, steps = scaled(g, g_square, call.number), call.output(out)
    block = min(layout.power_of_two(call.classes), 4096)
    with layout.on(out.device):
        losses.backward[call.number, -(-call.classes // block)](
            call.x, out, state, *call.target, *factors.pointers, call.flag, call.layout(steps, factors), call.classes,
            *call.numbers, *factors.numbers,
            DENSE=call.dense, SQUARE=rows.options.z_loss != 0, BLOCK=block, ALIGN=call.alignment(out, steps),
            num_warps=layout.warps(block, dense=call.dense),
        )  # fmt: skip
    return _given(rows, call, out)


def _fused(call: Call, rows: Rows, loss: Array, square: Array, along: tuple[Scale, Scale]) -> Array:
    """Write the losses and give the gradient, in one pass over the rows."""
    out = _output(rows, call)
    factors, steps = scaled(*along, call.number), call.output(out)
    given = (*call.target, *factors.pointers, call.flag, call.layout(steps, factors), call.classes)
    numbers = (*call.numbers, *factors.numbers)
    fixed = {"DENSE": call.dense, "ALIGN": call.alignment(out, steps)}
    if layout.fits(call.classes, rows.sum_dtype, dense=call.dense):
        block = layout.power_of_two(call.classes)
        losses.resident[call.number,](
            call.x,
            out,
            loss,
            square,
            *given,
            *numbers,
            **fixed,
            BLOCK=block,
            num_warps=layout.warps(block, dense=call.dense),
        )
    else:
        block = layout.sweep_block(call.classes, rows.sum_dtype, gradient=True)
        losses.swept[call.number, 1](
            call.x, out, loss, square, None, *given, call.classes, *numbers,
            **fixed, BLOCK=block, PARTED=False, num_warps=layout.WIDEST // (2 if loss.dtype == torch.float64 else 1),
        )  # fmt: skip
    return _given(rows, call, out)


def cross_entropy_with_gradient(rows: Rows, scales: Callable[..., Any]) -> tuple[Array, Array, Array]:
    """(loss, lse² or None) of each row, and d/dx of their sum scaled by `scales(rows, loss)`, in x's dtype."""
    loss, square = empty(rows), empty(rows, wanted=rows.options.z_loss != 0)
    if not loss.numel():
        return loss, square, torch.empty_like(rows.x)
    along, call = scales(rows, loss), call_of(rows)
    if _cut(call, rows)[0] > 1:
        loss, square, state = cross_entropy(rows, saving=True)
        return loss, square, gradient(rows, state, *along)
    with layout.on(loss.device):
        return loss, square, _fused(call, rows, loss, square, along)


def target_losses(rows: Rows, rules: Any = None) -> tuple[Array, Array]:  # noqa: ARG001  # the rooms' signature
    """(loss, log-probability of the target as given) of each row."""
    loss, square = cross_entropy(rows)
    plain = dataclasses.replace(rows.options, label_smoothing=0.0, z_loss=0.0)
    as_given, _ = cross_entropy(rows._replace(weight=None, sample_weight=None, options=plain))
    return loss if square is None else loss + rows.options.z_loss * square, -as_given
