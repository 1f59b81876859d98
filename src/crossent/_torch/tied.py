"""A loss of an eager torch tensor whose gradient the kernels form, with the value or when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch

from .._definition import Array

_keeps_graph = torch._C._autograd._get_current_graph_task_keep_graph
_transforms = torch._C._functorch.peek_interpreter_stack
_is_batch = torch._C._functorch.is_legacy_batchedtensor
NARROW = (torch.bfloat16, torch.float16)


class Call(Protocol):
    """The call that a loss came from."""

    def again(self, x: Array, g: Array) -> Array:
        """The gradient by x for a cotangent, formed anew."""

    def slow(self, x: Array) -> Array:
        """The loss in differentiable operations."""


class Again(NamedTuple):
    """A call by its two functions, and the tensors that they need as they were, with their versions."""

    gradient: Callable[[Array, Array], Array]
    composed: Callable[[Array], Array]
    tensors: tuple[tuple[Array, int], ...]

    def again(self, x: Array, g: Array) -> Array:
        """The gradient by x for a cotangent."""
        unchanged(*self.tensors)
        return self.gradient(x, g)

    def slow(self, x: Array) -> Array:
        """The loss in differentiable operations."""
        unchanged(*self.tensors)
        return self.composed(x)


class Formed(torch.autograd.Function):
    """A loss with its gradient by x, or None where `call` is to form it.

    A gradient formed with the value holds for the cotangent 1, which `loss.backward()` gives: it is handed on as it is.
    Another cotangent multiplies a float32 or float64 gradient; a narrower one is formed again from x, so that it is
    rounded once and nothing has vanished below the smallest number.
    """

    @staticmethod
    def forward(ctx: Any, x: Array, value: Array, gradient: Array, call: Call) -> Array:
        """Give the value; keep what the gradient needs. (x with its version: saving it takes torch a microsecond.)"""
        ctx.x, ctx.version, ctx.gradient, ctx.call = x, x._version, gradient, call
        return value

    @staticmethod
    def backward(ctx: Any, g: Array) -> Any:
        """The gradient times the cotangent; differentiable, if asked for, through the definition."""
        if torch.is_grad_enabled():
            x = _saved(ctx)
            return torch.autograd.grad(ctx.call.slow(x), x, g, create_graph=True)[0], None, None, None
        if _is_batch(g) or _transforms() is not None:
            return _batched(ctx, g), None, None, None
        return _gradient(ctx, g), None, None, None


def versions(*tensors: Array) -> tuple[tuple[Array, int], ...]:
    """Tensors with their versions, for `unchanged`; what is no tensor is left out."""
    return tuple((x, x._version) for x in tensors if isinstance(x, torch.Tensor))


def unchanged(*pairs: tuple[Array, int]) -> None:
    """Raise RuntimeError where a tensor that is needed once more has been modified in place meanwhile."""
    for x, version in pairs:
        if x._version != version:
            text = f"a loss of crossent needs a {x.dtype} tensor of shape {tuple(x.shape)} again for this backward pass"
            more = f"an inplace operation modified it (version {x._version}, expected {version})"
            raise RuntimeError(f"{text}, but {more}: modify a copy")


def _saved(ctx: Any) -> Array:
    """The logits, as they were when the loss was computed."""
    if ctx.x is None:
        text = "backward a second time through a loss of crossent whose memory has been given back"
        raise RuntimeError(f"{text}: use retain_graph=True in the first backward pass")
    unchanged((ctx.x, ctx.version))
    return ctx.x


def _batched(ctx: Any, g: Array) -> Array:
    """The gradients for a batch of cotangents, through the definition."""
    x = _saved(ctx).detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(ctx.call.slow(x), x, g)[0]


def _gradient(ctx: Any, g: Array) -> Array:
    """The gradient for a cotangent; memory that no later pass needs is given away with it, other is never shared."""
    gradient, kept = ctx.gradient, _keeps_graph()
    unit = gradient is not None and g.ndim == 0 and g.item() == 1
    if gradient is None or (gradient.dtype in NARROW and not unit):
        gradient = ctx.call.again(_saved(ctx).detach(), g)
    elif kept:
        gradient = gradient.clone() if unit else gradient * g
    elif not unit:
        gradient.mul_(g)
    if not kept:
        ctx.x = ctx.gradient = None
    return gradient


# torch.autograd.Function.apply without its look at transforms, of which there are none here: a microsecond and a half.
_apply: Any = super(torch.autograd.Function, Formed).apply


def tied(x: Array, value: Array, gradient: Array, call: Call) -> Array:
    """The value, tied to x."""
    return _apply(x, value, gradient, call)
