"""Losses of torch tensors on the CPU, run eagerly: the C++ room, or without it what comes next.

The gradient is formed in the forward pass, where the row is at hand, and only if it is wanted; second derivatives go
through the definition in torch's own operations, as does every transform. Where the C++ room is not built, plain calls
take torch's own kernel (`backends.native`), and the others NumPy's functions on the tensor's memory, which cost a third
of torch's: its dispatcher takes some microseconds an operation, which is all there is to a small loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from .. import _functions, _reduction
from .._call.arrays import dtype_name, readable, values
from .._call.options import Binary, Options, Rows
from .._definition import Array
from ..backends import agnostic, cpu
from . import float64, functions, tied

Slow = Callable[[Array], Array]


class Fused(torch.autograd.Function):
    """A loss whose gradient has been formed with it; `slow` is the same loss in differentiable operations."""

    @staticmethod
    def forward(ctx: Any, x: Array, value: Array, gradient: Array, slow: Slow) -> Array:
        """Give the value; keep the gradient."""
        ctx.save_for_backward(x, gradient)
        ctx.slow = slow
        return value

    @staticmethod
    def backward(ctx: Any, g: Array) -> Any:
        """The kept gradient times the cotangent; differentiable, if asked for, through the definition."""
        x, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():
            return torch.autograd.grad(ctx.slow(x), x, g, create_graph=True)[0], None, None, None
        return (gradient * (g if g.ndim in (0, x.ndim) else g[..., None])).to(x.dtype), None, None, None


def serves(x: Array, *others: Array) -> bool:
    """Whether x is an eager torch tensor on the CPU, outside of every transform, and the only one differentiated."""
    return (
        isinstance(x, torch.Tensor)
        and readable(x, *others)
        and not any(getattr(other, "requires_grad", False) for other in others)
        and forward_ad._current_level < 0
        and torch._C._get_tracing_state() is None
    )


def _wide(x: Array, dtype: Any) -> Array:
    """A tensor's numbers in the dtype of the sums, as NumPy's; without a copy where it has that dtype already."""
    return values(x.detach().to(dtype))


def _numpy_options(options: Options) -> Options:
    """Options whose denominator, if a tensor, is NumPy's."""
    if not isinstance(options.denominator, torch.Tensor):
        return options
    return dataclasses.replace(options, denominator=values(options.denominator))


def _tied(x: Array, value: Array, gradient: Array, slow: Slow) -> Array:
    """The value, tied to x by its gradient if there is one."""
    if gradient is None:
        return value
    apply: Any = Fused.apply
    return apply(x, value, torch.as_tensor(gradient), slow)


def value_and_gradient(rows: Rows, *, wanted: bool) -> tuple[Array, Array]:
    """The reduced loss of rows that `serves` accepts and, if wanted, its derivative by x, in the dtype of the sums."""
    wide = np.dtype(dtype_name(rows.sum_dtype))
    parts = (rows.y, rows.q, rows.live, rows.weight, rows.sample_weight, rows.where)
    y, q, live, weight, sample_weight, where = (None if part is None else values(part) for part in parts)
    own = rows._replace(
        x=_wide(rows.x, rows.sum_dtype),
        y=y,
        q=q,
        live=live,
        weight=weight,
        sample_weight=sample_weight,
        where=where,
        options=_numpy_options(rows.options),
        sum_dtype=wide,
        dtype=wide,
    )
    with np.errstate(all="ignore"):
        if wanted:
            loss, square, gradient = agnostic.cross_entropy_with_gradient(own, _reduction.scales)
        else:
            (loss, square), gradient = agnostic.cross_entropy(own, _functions), None
        return torch.as_tensor(_reduction.reduce_rows(own, loss, square)).to(rows.dtype), gradient


def _part(rows: Rows, index: Array) -> Rows:
    """Some of the rows, in float64."""
    weight = None if rows.sample_weight is None else rows.sample_weight[index].double()
    x, y = rows.x[index].double(), rows.y[index]
    return rows._replace(x=x, y=y, live=None, sample_weight=weight, sum_dtype=torch.float64)


def _reduced(rows: Rows, loss: Array, square: Array) -> Array:
    """The reduced loss; sums over rows are in float64, as the kernels' own are."""
    if rows.options.reduction != "none":
        loss, square = loss.double(), None if square is None else square.double()
    return _reduction.reduce_rows(rows, loss, square)


def _kernel(rows: Rows, scales: Any = _reduction.scales, upstream: Array = None) -> tuple[Array, Array]:
    """(reduced loss, derivative by x in x's dtype) from the C++ room."""
    loss, square, gradient = cpu.cross_entropy_with_gradient(rows, scales, upstream)
    return _reduced(rows, loss, square), gradient


def gradient_for(rows: Rows, g: Array) -> Array:
    """The derivative by x for a cotangent: of the reduced loss, or of each row."""
    if g.ndim:
        return _kernel(rows, upstream=g.to(rows.sum_dtype))[1]
    factor = g.item()
    return _kernel(rows, lambda *call: tuple(float(part) * factor for part in _reduction.scales(*call)))[1]


def _by_room(rows: Rows, slow: Slow) -> Array:
    """The reduced loss from the C++ room, tied to x if a gradient may be asked for.

    The gradient is formed with the loss unless each row will have its own cotangent.
    """
    x, own = rows.x, rows._replace(x=rows.x.detach())
    wanted = x.requires_grad and torch.is_grad_enabled()
    if wanted and rows.options.reduction != "none":
        value, gradient = _kernel(own)
    else:
        loss, square = cpu.cross_entropy(own)
        value, gradient = _reduced(own, loss, square), None
    if not wanted:
        return value
    tensors = tied.versions(own.y, own.q, own.weight, own.sample_weight)
    call = tied.Again(lambda x, g: gradient_for(own._replace(x=x), g), slow, tensors)
    return tied.tied(x, value, gradient, call)


@torch.no_grad()
def with_gradient(rows: Rows) -> tuple[Array, Array]:
    """The reduced loss of rows that `serves` accepts and its derivative by x, whether x requires one or not."""
    if cpu.serves(rows):
        return _kernel(rows)
    if not float64.serves(rows):
        return value_and_gradient(rows, wanted=True)
    loss, gradient, doubtful = float64.cross_entropy_with_gradient(rows)
    if doubtful is not None:
        exact, _, slope = agnostic.cross_entropy_with_gradient(_part(rows, doubtful), lambda *_: (1.0, 0.0))
        loss, gradient = loss.index_copy(0, doubtful, exact), gradient.index_copy(0, doubtful, slope)
    scale, _ = _reduction.scales(rows, loss)
    return _reduction.reduce_rows(rows, loss, None), gradient * scale


def _by_kernel(rows: Rows) -> Array:
    """The reduced loss from torch's own kernel, the doubtful rows from the definition."""
    loss, doubtful = float64.cross_entropy(rows)
    if doubtful is not None:
        exact, _ = agnostic.cross_entropy(_part(rows, doubtful), functions)
        loss = loss.index_copy(0, doubtful, exact)
    return _reduction.reduce_rows(rows, loss, None)


def cross_entropy(rows: Rows, slow: Slow) -> Array:
    """The reduced loss of rows that `serves` accepts, tied to x."""
    if cpu.serves(rows):
        return _by_room(rows, slow)
    if float64.serves(rows):
        return _by_kernel(rows)
    value, gradient = value_and_gradient(rows, wanted=rows.x.requires_grad and torch.is_grad_enabled())
    return _tied(rows.x, value, gradient, slow)


def _binary_kernel(call: Binary, g: Array = None) -> tuple[Array, Array]:
    """(reduced binary loss, derivative by x, times a cotangent) from the C++ room."""
    scale, upstream = float(_reduction.element_scale(call.x, call.options)), None
    if g is not None and g.ndim:
        upstream = g.to(call.y.dtype).contiguous()
    elif g is not None:
        scale = scale * g.item()
    total, gradient = cpu.binary_gradient(call, scale, upstream)
    if call.options.reduction == "none":
        return None, gradient
    sums = torch.tensor(total, dtype=torch.float64)
    mean = call.options.reduction == "mean"
    divisor = _reduction.element_count(call.x, call.options) if mean else 1
    return _reduction.quotient(sums, divisor, call.options.on_empty).to(call.dtype), gradient


def binary_gradient_for(call: Binary, g: Array) -> Array:
    """The derivative by x for a cotangent: of the reduced loss, or of each element."""
    return _binary_kernel(call, g)[1]


def _binary_by_room(call: Binary, slow: Slow) -> Array:
    """The reduced binary loss from the C++ room, tied to x if a gradient may be asked for."""
    x, own = call.x, call._replace(x=call.x.detach())
    wanted = x.requires_grad and torch.is_grad_enabled()
    if wanted and call.options.reduction != "none":
        value, gradient = _binary_kernel(own)
    else:
        loss = cpu.binary_cross_entropy_with_logits(own)
        loss = loss if call.options.reduction == "none" else loss.double()
        value, gradient = _reduction.reduce_elements(loss, call.options, call.dtype), None
    if not wanted:
        return value
    tensors = tied.versions(own.y, own.weight, own.pos_weight)
    call_again = tied.Again(lambda x, g: binary_gradient_for(own._replace(x=x), g), slow, tensors)
    return tied.tied(x, value, gradient, call_again)


@torch.no_grad()
def binary_with_gradient(call: Binary, *, wanted: bool = True) -> tuple[Array, Array]:
    """The reduced binary loss of a call that `serves` accepts and, if wanted, its derivative by x."""
    if wanted and cpu.serves_binary(call) and call.options.reduction != "none":
        return _binary_kernel(call._replace(x=call.x.detach()))
    if wanted and float64.serves_binary(call):
        loss, slope = float64.binary_cross_entropy_with_logits(call, gradient=True)
        scale = _reduction.element_scale(loss, call.options)
        return _reduction.reduce_elements(loss, call.options, call.dtype), slope * scale
    x = _wide(call.x, call.y.dtype)
    y, weight, pos_weight = (None if p is None else values(p) for p in (call.y, call.weight, call.pos_weight))
    own = Binary(x, y, weight, pos_weight, _numpy_options(call.options), x.dtype)
    with np.errstate(all="ignore"):
        loss, gradient = agnostic.binary_cross_entropy_with_gradient(own, wanted=wanted)
        value = torch.as_tensor(_reduction.reduce_elements(loss, own.options, x.dtype)).to(call.dtype)
        if gradient is None:
            return value, None
        return value, np.asarray(gradient * _reduction.element_scale(loss, own.options))


def binary_cross_entropy_with_logits(call: Binary, slow: Slow) -> Array:
    """The reduced binary loss of a call that `serves` accepts, tied to x."""
    if cpu.serves_binary(call):
        return _binary_by_room(call, slow)
    if float64.serves_binary(call):
        return _reduction.reduce_elements(float64.binary_cross_entropy_with_logits(call), call.options, call.dtype)
    value, gradient = binary_with_gradient(call, wanted=call.x.requires_grad and torch.is_grad_enabled())
    return _tied(call.x, value, gradient, slow)
