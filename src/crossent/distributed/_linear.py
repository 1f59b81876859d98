"""The layer in front of the loss: this rank's rows of the weight, and the sum of the input's derivatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed

from .._call.arrays import describe
from .._call.canonical import Layer
from .._call.options import Options
from .._door import layer as layers
from ..errors import OptionError, ShapeError
from ._agreement import all_gather, reduce_scatter

CHOICES = ("all_reduce", "reduce_scatter", "local")


class Summed(torch.autograd.Function):
    """x itself; its derivative is the sum of the ranks' derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        """Nothing is exchanged."""
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """One all-reduce."""
        whole = _wide(g).clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(whole, group=ctx.group)
        return whole.to(g.dtype), None


class Gathered(torch.autograd.Function):
    """All rows, of which each rank has an equal share; its derivative is the sum of the ranks' for that share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        """One all-gather."""
        ctx.group = group
        whole = x.new_empty((group.size() * x.shape[0], *x.shape[1:]))
        all_gather(whole, x.contiguous(), group=group)
        return whole

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """One reduce-scatter."""
        whole = _wide(g).contiguous()
        own = whole.new_empty((g.shape[0] // ctx.group.size(), *g.shape[1:]))
        reduce_scatter(own, whole, group=ctx.group)
        return own.to(g.dtype), None


def _wide(g: Tensor) -> Tensor:
    """Sixteen bits are summed over the ranks in float32."""
    return g.float() if g.element_size() < 4 else g


WAYS: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "all_reduce": Summed.apply,
    "reduce_scatter": Gathered.apply,
    "local": lambda x, _: x,
}


def learnt(function: str, options: Options, input_grad: Any) -> None:
    """Raise OptionError for what the layer has not learnt."""
    if input_grad not in CHOICES:
        wanted = ", ".join(map(repr, CHOICES))
        raise OptionError(f"{function}: input_grad={input_grad!r}, expected one of {wanted}")
    if options.return_stats:
        text = f"{function}: return_stats=True is not known here"
        raise OptionError(f"{text}: form this rank's logits and call vocab_parallel_row_stats")


def shifted(function: str, x: Tensor, target: Tensor, options: Options) -> tuple[Tensor, Tensor, Options]:
    """Position i of the second-to-last axis beside target i + shift, as views."""
    shift = options.shift
    if not shift:
        return x, target, options
    if x.ndim < 2 or shift >= x.shape[-2] or tuple(target.shape[: x.ndim - 1]) != tuple(x.shape[:-1]):
        text = f"{function}: shift={shift} with input {describe(x)} and target {describe(target)}"
        raise ShapeError(f"{text}: expected input (…, L, D) and target (…, L) of the same positions, L > shift")
    if getattr(options.where, "ndim", 1) > 1:
        raise OptionError(f"{function}: shift={shift} with a where= of each row is not yet known here: give where (C,)")
    here = (*(slice(None) for _ in range(x.ndim - 2)), slice(shift, None))
    weights = options.sample_weight
    if weights is not None and tuple(getattr(weights, "shape", ())) == tuple(x.shape[:-1]):
        weights = weights[here]
    return x[..., :-shift, :], target[here], dataclasses.replace(options, sample_weight=weights, shift=0)


def checked(function: str, x: Any, weight: Any, options: Options) -> Layer:
    """(x, W, b) and the dtype of their products, checked as by `linear_cross_entropy`."""
    plain = dataclasses.replace(options, sample_weight=None, shift=0, check=False)
    layer = layers.layer(function, x, weight, None, plain, needs_target=False)
    if layer.weight.ndim != 2:
        raise ShapeError(f"{function}: linear_weight is {describe(weight)}, expected this rank's (C, D)")
    return layer


def stand_in(layer: Layer, x: Tensor) -> Tensor:
    """Logits of all rows in the memory of one number, for the door."""
    return x.new_zeros((), dtype=layer.dtype).expand(*x.shape[:-1], layer.weight.shape[0])
