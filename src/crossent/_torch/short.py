"""The shortest way to a loss: plain calls on eager torch tensors of the CPU, checked in a microsecond or two.

A small loss is all overhead: `F.cross_entropy` and its backward pass take 40 µs for 64 rows of 10. So what a plain call
must satisfy is asked here of the tensors alone, one call of the extension does the rest, and whatever is not plain (or
not right) goes the general way, which has the messages.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch.autograd import forward_ad

from .._definition import Array
from ..backends import cpu
from . import tied

TENSORS = (torch.Tensor, torch.nn.Parameter)
TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
SUMS = {torch.float32: torch.float32, torch.float64: torch.float64}
PLAIN: dict[str, Any] = {"reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0, "check": "auto"}
SHORT = 2048
SMALL = 1 << 15  # numbers below which one thread, and torch's own memory, are best
_stack = torch._C._functorch.peek_interpreter_stack
_modes = torch._C._len_torch_dispatch_stack
_traced = torch._C._get_tracing_state


def eager(x: Array, y: Array) -> bool:
    """Whether both are plain tensors in the host's memory, and nothing listens to what is done with them.

    (Whether torch.compile does, the caller has asked.)
    """
    return (
        type(x) in TENSORS
        and type(y) in TENSORS
        and x.is_cpu
        and x.layout is torch.strided
        and y.layout is torch.strided
        and y.is_cpu
        and _stack() is None
        and _modes() == 0
        and forward_ad._current_level < 0
        and _traced() is None
    )


def softmax(output: int, x: Array) -> Array | None:
    """softmax or log_softmax over the last axis of an eager tensor; None where it is not that.

    softmax of shorter rows is torch's own: as exact, and faster (measured: up to a few thousand classes).
    """
    if not eager(x, x) or not x.ndim:
        return None
    if x.requires_grad and torch.is_grad_enabled():
        from . import softmax as tied_softmax

        return tied_softmax.plain(output, x) if tied_softmax.serves(x) else None
    if output == cpu.SOFTMAX and x.shape[-1] <= SHORT and x.dtype in SUMS and x.shape[-1]:
        return torch.softmax(x, -1)
    return cpu.plain_softmax(output, x)


class General(Protocol):
    """The general way, for what comes after the value."""

    def gradient_for(self, input: Array, target: Array, cotangent: Array, options: Any) -> Array:
        """The derivative by input of the reduced loss times a cotangent."""

    def differentiable(self, input: Array, target: Array, options: Any) -> Array:
        """The reduced loss in torch's own operations."""


class Plain(NamedTuple):
    """A plain call, to be made again by the general way; see tied.Call."""

    y: Array
    version: int
    options: dict[str, Any]
    general: General

    def again(self, x: Array, g: Array) -> Array:
        """The gradient for a cotangent of the reduced loss."""
        tied.unchanged((self.y, self.version))
        return self.general.gradient_for(x, self.y, g, self.options)

    def slow(self, x: Array) -> Array:
        """The loss in differentiable operations."""
        tied.unchanged((self.y, self.version))
        return self.general.differentiable(x, self.y, self.options)


def _settings(options: dict[str, Any]) -> tuple[bool, int, float] | None:
    """(whether a mean, ignore_index, label_smoothing) of options that are plain and in their ranges, else None."""
    if not options:
        return True, -100, 0.0
    given = {**PLAIN, **options}
    if len(given) != len(PLAIN):
        return None
    reduction, ignore, smoothing, check = given.values()
    right = type(reduction) is str and type(ignore) is int and type(smoothing) is float and type(check) in (str, bool)
    if not right or not -(2**63) <= ignore < 2**63 or not 0.0 <= smoothing <= 1.0 or check not in ("auto", True, False):
        return None
    return (reduction == "mean", ignore, smoothing) if reduction in ("mean", "sum") else None


def _run(x: Array, y: Array, options: dict[str, Any], *, wanted: bool) -> tuple[Array, Array] | None:
    """(the loss of a plain call, its derivative by x if wanted); None where it is not plain or an index is no class."""
    kernels = cpu.kernels()
    if kernels is None or not eager(x, y) or x.ndim != 2 or y.ndim != 1 or y.dtype is not torch.int64:
        return None
    settings, kind, (rows, classes) = _settings(options), TYPES.get(x.dtype), x.shape
    if settings is None or kind is None or y.shape[0] != rows or classes < 2 or not rows:
        return None
    if not (x.is_contiguous() and y.is_contiguous()) or x.is_neg() or (kind > 1 and torch.is_autocast_enabled("cpu")):
        return None
    mean, ignore, smoothing = settings
    large = rows * classes > SMALL
    kernels = cpu.ready() if large else kernels
    value, gradient, where = torch.empty((), dtype=x.dtype), None, 0
    if wanted:
        gradient = cpu.empty_like(x) if large else torch.empty_like(x)
        where = gradient.data_ptr()
    place = kernels.plain(
        kind, rows, classes, x.data_ptr(), classes, y.data_ptr(), ignore, smoothing, mean, where, value.data_ptr()
    )
    return None if place >= 0 else (value, gradient)


def cross_entropy(x: Array, y: Array, options: dict[str, Any], general: Any) -> Array | None:
    """The loss of a plain call, tied to x."""
    wanted = getattr(x, "requires_grad", False) and torch.is_grad_enabled()
    return _tied(x, y, _run(x, y, options, wanted=wanted), options, general)


def with_gradient(x: Array, y: Array, options: dict[str, Any]) -> tuple[Array, Array] | None:
    """The loss of a plain call and its derivative by x, whether x requires one or not."""
    return _run(x, y, options, wanted=True)


def _tied(
    x: Array, y: Array, result: tuple[Array, Array] | None, options: dict[str, Any], general: Any
) -> Array | None:
    """The value, tied to x if a gradient was formed with it."""
    if result is None or result[1] is None:
        return result and result[0]
    return tied.tied(x, *result, Plain(y, y._version, {**options, "check": False}, general))


def _run_binary(x: Array, y: Array, options: dict[str, Any], *, wanted: bool) -> tuple[Array, Array] | None:
    """(the loss of a plain binary call, its derivative by x if wanted); None where it is not plain."""
    kernels = cpu.kernels()
    if kernels is None or not eager(x, y) or x.shape != y.shape or y.dtype is not SUMS.get(x.dtype):
        return None
    settings, count = _settings(options), x.numel()
    if settings is None or "ignore_index" in options or not count:
        return None
    if not (x.is_contiguous() and y.is_contiguous()) or x.is_neg() or y.is_neg() or y.requires_grad:
        return None
    mean, _, smoothing = settings
    kernels, scale, where, gradient = cpu.ready(), 1 / count if mean else 1.0, 0, None
    if wanted:
        gradient = cpu.empty_like(x)
        where = gradient.data_ptr()
    kind, wide = TYPES[x.dtype], x.dtype is torch.float64
    places = x.data_ptr(), y.data_ptr(), 0, 0, 0
    total = kernels.binary(
        kind, wide, count, 1, *places, smoothing, 0.0, 1.0, scale, where, 0, options.get("check") is not False
    )
    return None if total is None else (torch.tensor(total / count if mean else total, dtype=x.dtype), gradient)


def binary(x: Array, y: Array, options: dict[str, Any], general: Any) -> Array | None:
    """The binary loss of a plain call, tied to x."""
    wanted = getattr(x, "requires_grad", False) and torch.is_grad_enabled()
    return _tied(x, y, _run_binary(x, y, options, wanted=wanted), options, general)


def binary_with_gradient(x: Array, y: Array, options: dict[str, Any]) -> tuple[Array, Array] | None:
    """The binary loss of a plain call and its derivative by x, whether x requires one or not."""
    return _run_binary(x, y, options, wanted=True)
