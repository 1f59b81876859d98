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
from .call import Along, Call, Numbers, Scale, along, call_of


def empty(rows: Rows, *, wanted: bool = True) -> Array:
    """Memory for one number a row."""
    return torch.empty(rows.x.shape[:-1], dtype=rows.sum_dtype, device=rows.x.device) if wanted else None


def _cut(call: Call, rows: Rows) -> tuple[int, int, int]:
    """(parts of a row, columns of a part, columns at a time)."""
    block = layout.sweep_block(call.classes, rows.sum_dtype, gradient=False)
    parts = layout.parts(call.number, call.classes, block, call.x.device)
    span = -(-call.classes // (parts * block)) * block
    return -(-call.classes // span), span, block


def _fixed(call: Call, rows: Rows) -> dict[str, Any]:
    """What all kernels of a loss are compiled for."""
    wide = layout.TRITON[rows.sum_dtype]
    return {"DENSE": call.dense, "EVEN": call.even, "SQUARE": rows.options.z_loss != 0, "WIDE": wide}


def _forward(call: Call, rows: Rows, loss: Array, square: Array, *, saving: bool) -> Array:
    """Write the losses; the statistics of the rows too if `saving`."""
    parts, span, block = _cut(call, rows)
    state = loss.new_empty((5, call.number, 1), dtype=rows.sum_dtype) if saving else None
    partial = state if parts == 1 else loss.new_empty((5, call.number, parts), dtype=rows.sum_dtype)
    one, own = along(call.number, times=(1.0, rows.options.z_loss)), call.output(None)
    strides, fixed = call.layout(own, one), {**_fixed(call, rows), "ALIGN": call.alignment(None, own)}
    losses.swept[call.number, parts](
        call.x, None, loss, square, partial, call.target, one.pointers, call.flag, strides, call.classes, span,
        call.options, *one.numbers,
        **fixed, BLOCK=block, PARTS=0, PARTED=parts > 1, num_warps=layout.warps(block, dense=call.dense),
    )  # fmt: skip
    if parts > 1:
        losses.finish[call.number,](
            call.x, loss, square, partial, state, call.target, call.flag, strides, call.classes, parts, call.options,
            one.numbers[1], **fixed, MOST=layout.power_of_two(parts), num_warps=1,
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


def row_losses(rows: Rows, *, saving: bool) -> tuple[Array, Array]:
    """(loss of each row with its z-loss, in the result's dtype, the statistics or None)."""
    loss, state = torch.empty(rows.x.shape[:-1], dtype=rows.dtype, device=rows.x.device), None
    if loss.numel():
        with layout.on(loss.device):
            state = _forward(call_of(rows), rows, loss, None, saving=saving)
    return loss, state


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


def gradient(
    rows: Rows, state: Array, g: Scale, g_square: Scale, times: Numbers = (1.0, 1.0), by: Any = (None, 0)
) -> Array:
    """d/dx of the losses and lse² of the rows, from saved statistics, in x's dtype; the rest as in `call.along`."""
    if not rows.x.numel():
        return torch.empty_like(rows.x)
    call = call_of(rows)
    out = _output(rows, call)
    factors, steps = along(call.number, g, g_square, times, by), call.output(out)
    block = min(layout.power_of_two(call.classes), 4096)
    with layout.on(out.device):
        losses.backward[call.number, -(-call.classes // block)](
            call.x, out, state, call.target, factors.pointers, call.layout(steps, factors), call.classes,
            call.options, *factors.numbers,
            **_fixed(call, rows), PARTS=factors.parts, BLOCK=block, ALIGN=call.alignment(out, steps),
            num_warps=layout.warps(block, dense=call.dense),
        )  # fmt: skip
    return _given(rows, call, out)


def _fused(call: Call, rows: Rows, loss: Array, square: Array, factors: Along) -> Array:
    """Write the losses and give the gradient, in one pass over the rows."""
    out = _output(rows, call)
    steps, fits = call.output(out), layout.fits(call.classes, rows.sum_dtype, dense=call.dense)
    fixed = {**_fixed(call, rows), "PARTS": factors.parts, "ALIGN": call.alignment(out, steps)}
    shared = (call.target, factors.pointers, call.flag, call.layout(steps, factors), call.classes)
    if fits:
        block = layout.power_of_two(call.classes)
        losses.resident[call.number,](
            call.x, out, loss, square, *shared, call.options, *factors.numbers,
            **fixed, BLOCK=block, num_warps=layout.warps(block, dense=call.dense, whole=True),
        )  # fmt: skip
    else:
        block = layout.sweep_block(call.classes, rows.sum_dtype, gradient=True)
        losses.swept[call.number, 1](
            call.x, out, loss, square, None, *shared, call.classes, call.options, *factors.numbers, **fixed,
            BLOCK=block, PARTED=False, num_warps=layout.WIDEST // (2 if rows.sum_dtype == torch.float64 else 1),
        )  # fmt: skip
    return _given(rows, call, out)


def with_gradient(rows: Rows, g: Scale, g_square: Scale, times: Numbers = (1.0, 1.0), by: Any = (None, 0)) -> Any:
    """(loss, lse² or None) of each row, and d/dx of their sum, in x's dtype; the rest as in `call.along`."""
    loss, square = empty(rows), empty(rows, wanted=rows.options.z_loss != 0)
    if not loss.numel():
        return loss, square, torch.empty_like(rows.x)
    call = call_of(rows)
    if _cut(call, rows)[0] > 1:
        with layout.on(loss.device):
            state = _forward(call, rows, loss, square, saving=True)
        return loss, square, gradient(rows, state, g, g_square, times, by)
    with layout.on(loss.device):
        return loss, square, _fused(call, rows, loss, square, along(call.number, g, g_square, times, by))


def cross_entropy_with_gradient(rows: Rows, scales: Callable[..., Any]) -> tuple[Array, Array, Array]:
    """(loss, lse² or None) of each row, and d/dx of their sum scaled by `scales(rows, loss)`, in x's dtype."""
    stand_in = torch.empty((), dtype=rows.sum_dtype, device=rows.x.device).expand(rows.x.shape[:-1])
    loss, square, formed = with_gradient(rows, *scales(rows, stand_in))
    return loss, square, formed


def target_losses(rows: Rows, rules: Any = None) -> tuple[Array, Array]:  # noqa: ARG001  # the rooms' signature
    """(loss, log-probability of the target as given) of each row."""
    loss, square = cross_entropy(rows)
    plain = dataclasses.replace(rows.options, label_smoothing=0.0, z_loss=0.0)
    as_given, _ = cross_entropy(rows._replace(weight=None, sample_weight=None, options=plain))
    return loss if square is None else loss + rows.options.z_loss * square, -as_given
