"""Softmax, log-softmax, logsumexp, the moments of rows and the plain log-likelihood: the launches of their kernels."""

from __future__ import annotations

from typing import Any

import torch

from ..._call.canonical import Rows
from ..._definition import Array
from . import functions as kernels
from . import layout
from .call import along, call_of
from .launch_losses import empty


def _map(x: Array, where: Array, temperature: float, dtype: Any, sum_dtype: Any, *, log: bool) -> Array:
    """Softmax or its logarithm over the last axis."""
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    if not out.numel():
        return out
    x, own = layout.as_rows(x.detach())
    classes = x.shape[-1]
    count = x.numel() // classes
    steps = layout.contiguous(own, classes)
    where, stride = (None, 0) if where is None else layout.matrix(where, count)
    align = layout.alignment(classes, (x, own[1:]), (out, steps[1:]), (where, (stride,)))
    fits = layout.fits(classes, sum_dtype)
    block = layout.power_of_two(classes) if fits else layout.sweep_block(classes, sum_dtype, gradient=True)
    with layout.on(x.device):
        (kernels.softmax if fits else kernels.softmax_swept)[count,](
            x, out, None if where is None else where.view(torch.uint8), (*own, *steps[1:], stride), classes,
            None if temperature == 1 else layout.bits(temperature),
            LOG=log, BLOCK=block, ALIGN=align, WIDE=layout.TRITON[sum_dtype], num_warps=layout.warps(block, whole=fits),
        )  # fmt: skip
    return out


def softmax(x: Array, where: Array = None, temperature: float = 1.0, dtype: Any = None, sums: Any = None) -> Array:
    """exp(z − m)/(1 + r) over the last axis, z = x/temperature; 0 outside of `where`."""
    return _map(x, where, temperature, dtype or x.dtype, sums or layout.sums(x.dtype), log=False)


def log_softmax(x: Array, where: Array = None, temperature: float = 1.0, dtype: Any = None, sums: Any = None) -> Array:
    """(z − m) − log1p(r) over the last axis, z = x/temperature; −∞ outside of `where`."""
    return _map(x, where, temperature, dtype or x.dtype, sums or layout.sums(x.dtype), log=True)


def logsumexp(x: Array, where: Array = None, sums: Any = None) -> Array:
    """m + log1p(r) over the last axis, in the dtype of the sums."""
    lse = torch.empty(x.shape[:-1], dtype=sums or layout.sums(x.dtype), device=x.device)
    if lse.numel():
        x, own = layout.as_rows(x.detach())
        where, stride = (None, 0) if where is None else layout.matrix(where, lse.numel())
        block = layout.sweep_block(x.shape[-1], lse.dtype, gradient=False)
        align = layout.alignment(x.shape[-1], (x, own[1:]), (where, (stride,)))
        with layout.on(x.device):
            kernels.moments[lse.numel(),](
                x, lse, None, None, None, None if where is None else where.view(torch.uint8), (*own, stride),
                x.shape[-1], None, None, BLOCK=block, ALIGN=align, num_warps=layout.warps(block),
            )  # fmt: skip
    return lse


def moments(rows: Rows, rules: Any = None) -> tuple[Array, Array, Array, Array]:  # noqa: ARG001  # the rooms' signature
    """(lse, entropy, argmax, confidence) of each row, ignored ones too: they depend on the logits alone."""
    lse, entropy, confidence = (empty(rows) for _ in range(3))
    prediction = torch.empty(lse.shape, dtype=torch.int64, device=lse.device)
    if lse.numel():
        call = call_of(rows._replace(y=None, q=None, weight=None, sample_weight=None))
        block = layout.sweep_block(call.classes, rows.sum_dtype, gradient=False)
        with layout.on(lse.device):
            kernels.moments[call.number,](
                call.x, lse, entropy, prediction, confidence, call.target[2], (*call.rows, call.strides[1]),
                call.classes, *call.options[2:],
                BLOCK=block, ALIGN=call.alignment(None, call.rows), num_warps=layout.warps(block),
            )  # fmt: skip
    return lse, entropy, prediction, confidence


def nll(rows: Rows) -> Array:
    """−⟨q, log p⟩ of each row, for log-probabilities in the place of logits."""
    loss = empty(rows)
    if loss.numel():
        call = call_of(rows)
        block = layout.sweep_block(call.classes, rows.sum_dtype, gradient=False)
        one = along(call.number)
        y, q, where, weight, sample_weight = call.target
        with layout.on(loss.device):
            kernels.likelihood[call.number,](
                call.x, loss, y, q, where, weight, sample_weight, call.flag, call.layout(call.rows, one), call.classes,
                *call.options[:2], DENSE=call.dense or call.even, BLOCK=block, ALIGN=call.alignment(None, call.rows),
                num_warps=layout.warps(block),
            )  # fmt: skip
    return loss
