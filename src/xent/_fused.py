"""Losses of torch tensors on the CPU, run eagerly: NumPy on the tensor's memory, the gradient formed with the value.

torch's dispatcher costs some microseconds an operation, which is all there is to a small loss; NumPy's functions cost
a third of that. The gradient is formed in the forward pass, where the centred row is at hand, and only if it is wanted.
Second derivatives go through the definition in torch's own operations, as does every transform.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from . import _plain as plain
from . import _reduction
from ._arrays import dtype_name, readable, values
from ._definition import Array
from ._options import Binary, Options, Rows
from .backends import agnostic

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
    return apply(x, value, torch.from_numpy(gradient), slow)


def value_and_gradient(rows: Rows, *, wanted: bool) -> tuple[Array, Array]:
    """The reduced loss of rows that `serves` accepts and, if wanted, its derivative by x, in the dtype of the sums."""
    wide = np.dtype(dtype_name(rows.sum_dtype))
    given = {name: values(part) if isinstance(part, torch.Tensor) else part for name, part in rows._asdict().items()}
    given |= {"x": _wide(rows.x, rows.sum_dtype), "options": _numpy_options(rows.options)}
    own = Rows(**{**given, "sum_dtype": wide, "dtype": wide})
    with np.errstate(all="ignore"):
        if wanted:
            loss, square, gradient = agnostic.cross_entropy_with_gradient(own, _reduction.scales)
        else:
            (loss, square), gradient = agnostic.cross_entropy(own, plain), None
        return torch.as_tensor(_reduction.reduce_rows(own, loss, square)).to(rows.dtype), gradient


def cross_entropy(rows: Rows, slow: Slow) -> Array:
    """The reduced loss of rows that `serves` accepts, tied to x by its gradient."""
    value, gradient = value_and_gradient(rows, wanted=rows.x.requires_grad and torch.is_grad_enabled())
    return _tied(rows.x, value, gradient, slow)


def binary_cross_entropy_with_logits(call: Binary, slow: Slow) -> Array:
    """The reduced binary loss of a call that `serves` accepts."""
    x = _wide(call.x, call.y.dtype)
    y, weight, pos_weight = (None if p is None else values(p) for p in (call.y, call.weight, call.pos_weight))
    own = Binary(x, y, weight, pos_weight, _numpy_options(call.options), x.dtype)
    with np.errstate(all="ignore"):
        loss, gradient = agnostic.binary_cross_entropy_with_gradient(own)
        value = _reduction.reduce_elements(loss, own.options, x.dtype)
        gradient = gradient * _reduction.element_scale(loss, own.options)
    wanted = call.x.requires_grad and torch.is_grad_enabled()
    return _tied(call.x, torch.as_tensor(value).to(call.dtype), np.asarray(gradient) if wanted else None, slow)
