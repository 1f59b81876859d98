"""The shortest way to a loss: plain calls on eager torch tensors of the CPU, checked in a microsecond or two.

A small loss is all overhead: `F.cross_entropy` and its backward pass take 40 µs for 64 rows of 10. So what a plain call
must satisfy is asked here of the tensors alone, one call of the extension does the rest, and whatever is not plain (or
not right) goes the general way, which has the messages.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._call.canonical import Elements, Rows
from .._call.options import BinaryOptions, LossOptions, validated
from .._definition import Array
from .._door import misuse
from .._door import rows as door
from ..backends import cpu
from ..backends.cpu import plain
from ..backends.cpu.plain import DEFAULT
from . import cpu as own
from . import differentiable, state
from .tied import Versions, product, tied, unchanged

TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
SUMS = {torch.float32: torch.float32, torch.float64: torch.float64}
NO_OPTIONS = frozenset(("ignore_index", "z_loss"))  # of a binary loss: the one means something else there
Options = dict[str, Any]
Made = tuple[Tensor, Tensor | None]


def eager(x: Tensor, y: Tensor) -> bool:
    """Whether both are plain tensors in the host's memory, and nothing watches what is done with them."""
    return (
        not state.watched()
        and type(x) in state.TENSORS
        and type(y) in state.TENSORS
        and x.is_cpu
        and x.layout is torch.strided
        and y.layout is torch.strided
        and y.is_cpu
    )


class Plain(NamedTuple):
    """A plain call of cross_entropy, to be made again by the general way; see tied.Call."""

    y: Tensor
    weight: Tensor | None
    tensors: Versions
    options: Options

    def product(self, gradient: Tensor, g: Tensor, own: bool) -> Tensor:
        """See tied.product."""
        return product(gradient, g, own)

    def rows(self, x: Tensor) -> Rows:
        """The canonical rows."""
        unchanged(*self.tensors)
        name = "cross_entropy"
        return door.rows(name, x, self.y, validated(name, self.weight, self.options, LossOptions))

    def again(self, x: Tensor, g: Tensor) -> Array:
        """The gradient for a cotangent of the loss, or of each row."""
        unchanged(*self.tensors)
        made = _run(x, self.y, self.weight, self.options, wanted=True, g=g)
        return own.gradient_for(self.rows(x), g) if made is None else made[1]

    def differentiable(self, x: Tensor) -> Tensor:
        """The loss in differentiable operations."""
        return differentiable.cross_entropy(self.rows(x))


class PlainBinary(NamedTuple):
    """The same of binary_cross_entropy_with_logits."""

    y: Tensor
    version: int
    options: Options

    def product(self, gradient: Tensor, g: Tensor, own: bool) -> Tensor:
        """See tied.product."""
        return product(gradient, g, own)

    def elements(self, x: Tensor) -> Elements:
        """The canonical elements."""
        unchanged((self.y, self.version))
        name = "binary_cross_entropy_with_logits"
        return door.binary(name, x, self.y, validated(name, None, self.options, BinaryOptions))

    def again(self, x: Tensor, g: Tensor) -> Array:
        """The gradient for a cotangent of the reduced loss."""
        return own.binary_gradient_for(self.elements(x), g)

    def differentiable(self, x: Tensor) -> Tensor:
        """The loss in differentiable operations."""
        return differentiable.binary_cross_entropy_with_logits(self.elements(x))


def _is_weight(weight: Any, x: Tensor) -> bool:
    """Whether class weights are plain: in the dtype of the sums, one after the other, not differentiated."""
    return (
        type(weight) in state.TENSORS
        and weight.dtype is SUMS.get(x.dtype, torch.float32)
        and weight.is_cpu
        and weight.shape == x.shape[1:]
        and weight.is_contiguous()
        and not (weight.requires_grad or weight.is_neg())
    )


def _run(
    x: Tensor, y: Tensor, weight: Tensor | None, options: Options, *, wanted: bool, g: Tensor | None = None
) -> Made | None:
    """(the loss of a plain call, its derivative by x if wanted, times a cotangent g); None if it is not plain.

    Nor is it if an index is no class.
    """
    if not eager(x, y) or (kernels := cpu.kernels()) is None:
        return None
    if x.ndim != 2 or y.ndim != 1 or y.dtype is not torch.int64 or not (weight is None or _is_weight(weight, x)):
        return None
    settings, kind, (rows, classes) = plain.settings(options) if options else DEFAULT, TYPES.get(x.dtype), x.shape
    if settings is None or kind is None or y.shape[0] != rows or classes < 2 or not rows:
        return None
    if not (x.is_contiguous() and y.is_contiguous()) or x.is_neg() or (kind > 1 and torch.is_autocast_enabled("cpu")):
        return None
    large, apart = rows * classes > plain.SMALL, settings.reduction == plain.NONE
    kernels = cpu.ready() if large else kernels
    sums = torch.float64 if kind == 1 else torch.float32
    value, gradient, where = torch.empty((rows,), dtype=sums) if apart else torch.empty((), dtype=x.dtype), None, 0
    if wanted:
        gradient = cpu.empty_like(x) if large else torch.empty_like(x)
        where = gradient.data_ptr()
    upstream = None if g is None or not g.ndim else g.to(sums).contiguous().resolve_neg()
    factor = 1.0 if g is None or g.ndim else g.item()
    places = x.data_ptr(), y.data_ptr(), 0 if weight is None else weight.data_ptr()
    out = where, value.data_ptr(), 0 if upstream is None else upstream.data_ptr(), factor
    right = kernels.plain(kind, rows, classes, *places, *settings, *out)
    return (value if value.dtype is x.dtype else value.to(x.dtype), gradient) if right else None


def cross_entropy(x: Tensor, y: Tensor, weight: Tensor | None, options: Options) -> Tensor | None:
    """The loss of a plain call, tied to x."""
    wanted = getattr(x, "requires_grad", False) and torch.is_grad_enabled()
    each = (
        "reduction" in options and str(options["reduction"]) == "none"
    )  # rows have their gradient for their cotangents
    made = _run(x, y, weight, options, wanted=wanted and not each)
    if made is None:
        return None
    misuse.look_afterwards("cross_entropy", x, y, options, weight)
    if not wanted:
        return made[0]
    tensors = ((y, y._version),) if weight is None else ((y, y._version), (weight, weight._version))
    return tied(x, made, Plain(y, weight, tensors, {**options, "check": False}))


def with_gradient(x: Tensor, y: Tensor, weight: Tensor | None, options: Options) -> Made | None:
    """The loss of a plain call and its derivative by x, whether x requires one or not."""
    made = _run(x, y, weight, options, wanted=True)
    if made is not None:
        misuse.look_afterwards("cross_entropy_with_grad", x, y, options, weight)
    return made


def _run_binary(x: Tensor, y: Tensor, options: Options, *, wanted: bool) -> Made | None:
    """(the loss of a plain binary call, its derivative by x if wanted); None where it is not plain."""
    if not eager(x, y) or (kernels := cpu.kernels()) is None or x.shape != y.shape or y.dtype is not SUMS.get(x.dtype):
        return None
    settings, count = plain.settings(options), x.numel()
    if settings is None or settings.reduction == plain.NONE or not NO_OPTIONS.isdisjoint(options) or not count:
        return None
    if not (x.is_contiguous() and y.is_contiguous()) or x.is_neg() or y.is_neg() or y.requires_grad:
        return None
    mean = settings.reduction == 1
    kernels, scale, where, gradient = cpu.ready(), 1 / count if mean else 1.0, 0, None
    numbers = settings.label_smoothing, settings.softcap, settings.temperature, scale
    if wanted:
        gradient = cpu.empty_like(x)
        where = gradient.data_ptr()
    kind, wide = TYPES[x.dtype], x.dtype is torch.float64
    places, looks = (x.data_ptr(), y.data_ptr(), 0, 0, 0), options.get("check") is not False
    total = kernels.binary(kind, wide, count, 1, *places, *numbers, where, 0, looks)
    return None if total is None else (torch.tensor(total / count if mean else total, dtype=x.dtype), gradient)


def binary(x: Tensor, y: Tensor, options: Options) -> Tensor | None:
    """The binary loss of a plain call, tied to x."""
    wanted = getattr(x, "requires_grad", False) and torch.is_grad_enabled()
    made = _run_binary(x, y, options, wanted=wanted)
    if made is None:
        return None
    misuse.look_afterwards("binary_cross_entropy_with_logits", x, y, options)
    return tied(x, made, PlainBinary(y, y._version, {**options, "check": False})) if wanted else made[0]


def binary_with_gradient(x: Tensor, y: Tensor, options: Options) -> Made | None:
    """The binary loss of a plain call and its derivative by x, whether x requires one or not."""
    return _run_binary(x, y, options, wanted=True)
