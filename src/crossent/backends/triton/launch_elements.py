"""The binary losses: the launch of their kernel, and the loss from given probabilities in torch's operations."""

from __future__ import annotations

from typing import Any

import torch

from ..._call.canonical import Elements
from ..._definition import Array
from . import elements, layout

BLOCK = 1024


def _repeating(part: Array, x: Array) -> tuple[Array, int]:
    """A weight as its elements, one after the other, which repeat along those of x; and their number."""
    if part is None:
        return None, 1
    shape = part.shape
    while shape and shape[0] == 1:
        shape = shape[1:]
    if tuple(shape) != tuple(x.shape[x.ndim - len(shape) :]):
        part = part.expand(x.shape)
    return part.detach().contiguous(), max(part.numel(), 1)


def binary_with_cotangent(b: Elements, g: Array, *, value: bool, slope: bool, dtype: Any = None) -> tuple[Array, Array]:
    """(loss of each element, g times its derivative by x in `dtype`), each if asked for; g is read on the device."""
    x, y = b.x.detach().contiguous(), b.y.detach().contiguous()
    loss = torch.empty(x.shape, dtype=y.dtype, device=x.device) if value else None
    gradient = torch.empty(x.shape, dtype=dtype or y.dtype, device=x.device) if slope else None
    if not x.numel():
        return loss, gradient
    (weight, number), (pos_weight, pos_number) = _repeating(b.weight, x), _repeating(b.pos_weight, x)
    step = 1
    if g is not None and all(stride == 0 for stride in g.stride()):
        g, step = g.detach(), 0
    elif g is not None:
        g = g.detach().contiguous()
    options = b.options
    given = (
        options.label_smoothing or None,
        options.softcap,
        None if options.temperature == 1 else options.temperature,
    )
    numbers = [layout.bits(number) for number in given]
    with layout.on(x.device):
        elements.binary[-(-x.numel() // BLOCK),](
            x, y, weight, pos_weight, g, loss, gradient, x.numel(), number, pos_number, step,
            *numbers,
            BLOCK=BLOCK, num_warps=4,
        )  # fmt: skip
    return loss, gradient


def binary_cross_entropy_with_logits(b: Elements, rules: Any = None) -> Array:  # noqa: ARG001  # the rooms' signature
    """The loss of each element."""
    return binary_with_cotangent(b, None, value=True, slope=False)[0]


def binary_cross_entropy_with_gradient(b: Elements, *, wanted: bool = True) -> tuple[Array, Array]:
    """The loss of each element and, if wanted, its derivative by x, in the dtype of the sums."""
    return binary_with_cotangent(b, None, value=True, slope=wanted)


def times(x: Array, g: Array, *, inplace: bool) -> Array:
    """A contiguous x times a number on the device, in fresh memory or in its own; nothing moves where that is 1."""
    out = x if inplace else torch.empty_like(x)
    if x.numel():
        block = 8 * BLOCK
        with layout.on(x.device):
            programs = min(-(-x.numel() // block), 4 * layout.multiprocessors(x.device))
            elements.times[programs,](x, out, g.detach(), x.numel(), BLOCK=block, num_warps=8)
    return out
