"""A value with its gradient by x formed beside it, or formed when it is asked for, tied to torch's autograd.

There is one Function, for the CPU, the GPU and the gradient written over the logits, with one promise:

- its value is a tensor of its own, which may be written into;
- what a later pass needs must be as it was: a tensor changed in place raises, whoever asks;
- batches of cotangents, a kept graph and second derivatives are served, the last by the loss in torch's operations;
- hooks on saved tensors see the logits and the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from . import state

NARROW = (torch.bfloat16, torch.float16)
Versions = tuple[tuple[Tensor, int], ...]
Product = Callable[[Tensor, Tensor, bool], Tensor]


class Call(Protocol):
    """The call that a loss came from."""

    def product(self, gradient: Tensor, g: Tensor, own: bool) -> Tensor:
        """A formed gradient times a cotangent, in its own memory if that is not needed again."""

    def again(self, x: Tensor, g: Tensor) -> Tensor | None:
        """The gradient by x for a cotangent, formed anew; None where only the formed one is there."""

    def differentiable(self, x: Tensor) -> Tensor:
        """The loss in differentiable operations."""


class Again(NamedTuple):
    """A call by its functions, and the tensors that they need as they were, with their versions."""

    gradient: Callable[[Tensor, Tensor], Tensor] | None
    loss: Callable[[Tensor], Tensor]
    tensors: Versions
    times: Product

    def product(self, gradient: Tensor, g: Tensor, own: bool) -> Tensor:
        """A formed gradient times a cotangent."""
        return self.times(gradient, g, own)

    def again(self, x: Tensor, g: Tensor) -> Tensor | None:
        """The gradient by x for a cotangent."""
        unchanged(*self.tensors)
        return None if self.gradient is None else self.gradient(x, g)

    def differentiable(self, x: Tensor) -> Tensor:
        """The loss in differentiable operations."""
        unchanged(*self.tensors)
        return self.loss(x)


class Tied(torch.autograd.Function):
    """See the module.

    A gradient formed with the value holds for the cotangent 1, which `loss.backward()` gives: it is handed on as it is.
    Another cotangent multiplies a float32 or float64 gradient; a narrower one is formed again from x, so that it is
    rounded once and nothing has vanished below the smallest number.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, made: tuple[Tensor, Tensor | None], call: Call) -> Tensor:
        """Give the value; keep what the gradient needs.

        The value comes in a tuple: an argument that is given back would be a view of itself. And x is kept with its
        version rather than saved, which takes torch a microsecond, unless someone wants to see what is saved.
        """
        value, gradient = made
        ctx.version, ctx.call = x._version, call
        if state.hooks(False) is None:
            ctx.x, ctx.gradient, ctx.hooked = x, gradient, False
        else:
            ctx.x, ctx.hooked = None, True
            ctx.save_for_backward(x, gradient)
        return value

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """The gradient times the cotangent; differentiable, if asked for, through the definition."""
        x, gradient = (ctx.x, ctx.gradient) if ctx.x is not None else _saved(ctx)
        if torch.is_grad_enabled():
            unchanged((x, ctx.version))
            return torch.autograd.grad(ctx.call.differentiable(x), x, g, create_graph=True)[0], None, None
        if state.batched(g):
            return _batched(ctx, x, gradient, g), None, None
        if state.forked:
            with state.alone():
                return _gradient(ctx, x, gradient, g), None, None
        return _gradient(ctx, x, gradient, g), None, None


# torch.autograd.Function.apply without its look at transforms, of which there are none here: a microsecond and a half.
tied: Callable[[Tensor, tuple[Tensor, Tensor | None], Call], Tensor] = super(torch.autograd.Function, Tied).apply


def versions(*tensors: Tensor | None) -> Versions:
    """Tensors with their versions, for `unchanged`; what is no tensor, or has no version, is left out."""
    return tuple((x, x._version) for x in tensors if isinstance(x, Tensor) and not x.is_inference())


def unchanged(*pairs: tuple[Tensor, int]) -> None:
    """Raise RuntimeError where a tensor that is needed once more has been modified in place meanwhile."""
    for x, version in pairs:
        if x._version != version:
            text = f"a loss of crossent needs a {x.dtype} tensor of shape {tuple(x.shape)} again for this backward pass"
            more = f"an inplace operation modified it (version {x._version}, expected {version})"
            raise RuntimeError(f"{text}, but {more}: modify a copy")


def _saved(ctx: Any) -> tuple[Tensor, Tensor | None]:
    """The logits and the gradient, as hooks on saved tensors give them back; torch's own error once they are freed."""
    if not ctx.hooked:
        text = "backward a second time through a loss of crossent whose memory has been given back"
        raise RuntimeError(f"{text}: use retain_graph=True in the first backward pass")
    x, gradient = ctx.saved_tensors
    return x, gradient


def _batched(ctx: Any, x: Tensor, gradient: Tensor | None, g: Tensor) -> Tensor:
    """The gradients for a batch of cotangents: the formed one times each, or through the definition."""
    if gradient is not None and gradient.dtype not in NARROW:
        return (gradient * along(g, gradient)).to(x.dtype)
    unchanged((x, ctx.version))
    own = x.detach().requires_grad_()
    with torch.enable_grad():
        gradients: tuple[Tensor, ...] = torch.autograd.grad(ctx.call.differentiable(own), own, g)
        return gradients[0]


def _gradient(ctx: Any, x: Tensor, gradient: Tensor | None, g: Tensor) -> Tensor:
    """The gradient for a cotangent; memory that no later pass needs is given away with it, other is never shared."""
    kept = bool(state.keeps_graph())
    formed: Tensor | None = None
    if gradient is not None and not kept and is_one(g):
        ctx.x = ctx.gradient = None
        return gradient if gradient.dtype == x.dtype else gradient.to(x.dtype)
    if gradient is None or (gradient.dtype in NARROW and not is_one(g)):
        unchanged((x, ctx.version))
        formed = ctx.call.again(x.detach(), g)
    if formed is None:
        formed = ctx.call.product(gradient, g, not kept)
    if not kept:
        ctx.x = ctx.gradient = None
    return formed if formed.dtype == x.dtype else formed.to(x.dtype)


def is_one(g: Tensor) -> bool:
    """Whether a cotangent is seen to be 1, without waiting for a device."""
    return g.ndim == 0 and g.is_cpu and g.item() == 1


def along(g: Tensor, gradient: Tensor, axis: int = -1) -> Tensor:
    """A cotangent of the reduced loss, of rows or of elements, as a factor of the gradient."""
    return g if g.ndim in (0, gradient.ndim) else g.unsqueeze(axis)


def product(gradient: Tensor, g: Tensor, own: bool) -> Tensor:
    """See Call.product: on the host."""
    if is_one(g):
        return gradient if own else gradient.clone()
    factor = along(g, gradient)
    if not own:
        return gradient * factor
    return gradient.mul_(factor)
