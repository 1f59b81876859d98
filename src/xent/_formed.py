"""A loss of an eager torch tensor whose gradient the kernels form, with the value or when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ._arrays import tracing
from ._definition import Array

Slow = Callable[[Array], Array]
Again = Callable[[Array, Array], Array]


class Formed(torch.autograd.Function):
    """A loss with its gradient by x, or None where `again(x, cotangent)` forms it; `slow` is the same, differentiable.

    A gradient formed with the value holds for the cotangent 1, which `loss.backward()` gives: it is handed on as it is.
    Another cotangent multiplies a float32 or float64 gradient; a narrower one is formed again from x, so that it is
    rounded once and nothing has vanished below the smallest number.
    """

    @staticmethod
    def forward(ctx: Any, x: Array, value: Array, gradient: Array, again: Again, slow: Slow) -> Array:
        """Give the value; keep what the gradient needs."""
        ctx.save_for_backward(x)
        ctx.gradient, ctx.again, ctx.slow = gradient, again, slow
        return value

    @staticmethod
    def backward(ctx: Any, g: Array) -> Any:
        """The gradient times the cotangent; differentiable, if asked for, through the definition."""
        if torch.is_grad_enabled():
            (x,) = ctx.saved_tensors
            return torch.autograd.grad(ctx.slow(x), x, g, create_graph=True)[0], None, None, None, None
        batched = tracing(g) or torch._C._functorch.is_legacy_batchedtensor(g)
        return (_batched if batched else _gradient)(ctx, g), None, None, None, None


def _batched(ctx: Any, g: Array) -> Array:
    """The gradients for a batch of cotangents, through the definition."""
    x = ctx.saved_tensors[0].detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(ctx.slow(x), x, g)[0]


def _gradient(ctx: Any, g: Array) -> Array:
    """The gradient for a cotangent; memory that no later pass needs is given away with it."""
    gradient, kept = ctx.gradient, torch._C._autograd._get_current_graph_task_keep_graph()
    if gradient is not None and not kept:
        ctx.gradient = None
    if gradient is not None and g.ndim == 0 and g.item() == 1:
        return gradient
    if gradient is None or gradient.dtype in (torch.bfloat16, torch.float16):
        return ctx.again(*ctx.saved_tensors, g)
    return gradient * g if kept else gradient.mul_(g)


def tied(x: Array, value: Array, gradient: Array, again: Again, slow: Slow) -> Array:
    """The value, tied to x."""
    apply: Any = Formed.apply
    return apply(x, value, gradient, again, slow)
