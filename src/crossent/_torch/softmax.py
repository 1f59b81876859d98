"""softmax, log-softmax and logsumexp of eager tensors on the CPU that are differentiated: the C++ room both ways.

torch's own gradients form 1 − p, and are 0 or worse where p rounds to 1, and its values of improbable classes carry the
rounding of z − m. softmax keeps its result, the others their input; second derivatives are the definition's. The module
is what `agnostic` takes for `rules`: the rest of them is that of `functions`.
"""

from __future__ import annotations

from typing import Any

import torch

from .. import _definition as definition
from .. import _functions
from .._call.canonical import Rows
from .._call.options import Options
from .._definition import Array
from ..backends import cpu
from . import functions, short, state

Context = Any


def serves(z: Array) -> bool:
    """Whether z is such a tensor of float32 or float64, and the C++ room is there."""
    eager = short.eager(z, z) and z.requires_grad and torch.is_grad_enabled()
    return eager and z.dtype in short.SUMS and z.ndim > 0 and 0 not in z.shape and cpu.built() and not z.is_neg()


def _slow(g: Array) -> bool:
    """Whether a backward pass is itself differentiated, or runs for many cotangents at once."""
    return torch.is_grad_enabled() or state.batched(g)


def _plain(output: int, z: Array) -> Array:
    """softmax or log_softmax of the last axis."""
    return cpu.plain_softmax(output, z.detach().contiguous())


class Softmax(torch.autograd.Function):
    """See functions.Softmax."""

    @staticmethod
    def forward(ctx: Context, z: Array) -> Array:
        """exp(z − m)/(1 + r)."""
        p = _plain(cpu.SOFTMAX, z)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """p·(g − ⟨p, g⟩)."""
        (p,) = ctx.saved_tensors
        if _slow(g):
            return _functions.pull(p, g).to(p.dtype)
        return cpu.softmax_gradient(p.contiguous(), g.contiguous())


class LogSoftmax(torch.autograd.Function):
    """See functions.LogSoftmax."""

    @staticmethod
    def forward(ctx: Context, z: Array) -> Array:
        """(z − m) − log1p(r)."""
        ctx.save_for_backward(z)
        return _plain(cpu.LOG_SOFTMAX, z)

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g − softmax(z)·Σg: the gradient of a cross-entropy with targets g, turned round."""
        (z,) = ctx.saved_tensors
        if _slow(g):
            return -definition.gradient(z, g).to(z.dtype)
        return cpu.cross_entropy_with_gradient(_rows(z, g), lambda *_: (-1.0, 0.0))[2]


def _rows(z: Array, q: Array) -> Rows:
    """Rows with a dense target."""
    nothing: Any = None
    return Rows(
        z.detach(), nothing, q.resolve_neg(), nothing, nothing, nothing, nothing, Options(), True, -1, z.dtype, z.dtype
    )


class LogSumExp(torch.autograd.Function):
    """See functions.LogSumExp."""

    @staticmethod
    def forward(ctx: Context, z: Array) -> Array:
        """m + log1p(r)."""
        ctx.save_for_backward(z)
        return cpu.logsumexp(_rows(z, z))

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """g·softmax(z)."""
        (z,) = ctx.saved_tensors
        if _slow(g):
            return g[..., None] * _functions.softmax(z)
        return _plain(cpu.SOFTMAX, z).mul_(g[..., None])


def plain(output: int, x: Array) -> Array:
    """softmax or log_softmax over the last axis of an eager tensor by the shortest way; None where it is not that."""
    if not short.eager(x, x) or not x.ndim:
        return None
    if x.requires_grad and torch.is_grad_enabled():
        function: Any = Softmax if output == cpu.SOFTMAX else LogSoftmax
        return function.apply(x) if serves(x) else None
    return cpu.plain_softmax(output, x)


def _rule(eager: type[torch.autograd.Function], general: Any) -> Any:
    """The function that takes the kernels for what they serve, else the definition."""

    def apply(z: Array) -> Array:
        served = not state.compiling() and serves(z)
        return (eager.apply if served else general)(z)

    return apply


softmax = _rule(Softmax, functions.softmax)
log_softmax = _rule(LogSoftmax, functions.log_softmax)
logsumexp = _rule(LogSumExp, functions.logsumexp)
row_loss, binary_loss, tanh = functions.row_loss, functions.binary_loss, functions.tanh
moments, constant, weighted_logsumexp = functions.moments, functions.constant, functions.weighted_logsumexp
log_sum_sq_probs = functions.log_sum_sq_probs
