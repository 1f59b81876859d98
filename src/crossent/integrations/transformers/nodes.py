"""Logits that are not formed, as nodes of autograd's graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .recipe import Recipe


class Tie(torch.autograd.Function):
    """The stand-in as a node of autograd's graph, for what walks it outside of Python (DDP's unused parameters)."""

    @staticmethod
    def forward(ctx: Any, kind: Any, recipe: Recipe, *_: Tensor | None) -> Any:
        """A tensor without memory."""
        ctx.recipe = recipe
        ctx.set_materialize_grads(False)
        return kind._make_wrapper_subclass(kind, recipe.shape, dtype=recipe.dtype, device=recipe.x.device)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> Any:
        """Through logits formed again; the loss and all that was asked in Python have their own way."""
        recipe: Recipe = ctx.recipe
        if g is None:
            return None, None, None, None, None
        given = (recipe.x, recipe.weight, recipe.bias)
        parts: list[Any] = [None if p is None else p.detach().requires_grad_(p.requires_grad) for p in given]
        own = recipe.of_parts(*parts)
        with torch.enable_grad():
            z = own.form()
        wanted = [p for p in parts if p is not None and p.requires_grad]
        found = iter(torch.autograd.grad(z, wanted, g))
        return None, None, *(next(found) if p is not None and p.requires_grad else None for p in parts)


class Beside(torch.autograd.Function):
    """x as it is, whose backward pass runs that of the logits beside it, without a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, _logits: Tensor) -> Tensor:
        """A view of x."""
        ctx.set_materialize_grads(False)
        return x.view_as(x)

    @staticmethod
    def backward(_ctx: Any, g: Tensor) -> Any:
        """The gradient, all of it x's."""
        return g, None


class Numbers(torch.autograd.Function):
    """Logits formed, with the history of the stand-in."""

    @staticmethod
    def forward(_ctx: Any, _logits: Tensor, recipe: Recipe) -> Tensor:
        """The numbers."""
        return recipe.form()

    @staticmethod
    def backward(_ctx: Any, g: Tensor) -> Any:
        """The gradient by the stand-in."""
        return g, None
