"""Which way a tensor takes: the second chain of ifs, after the one by array library (`crossent._ways`).

watched (compile, trace, transform, …)   compiled operators, or the definition in torch's operations
a GPU                                    Triton's kernels
the CPU                                  `short` for plain calls, else the C++ room
"""

from __future__ import annotations

import functools
import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .. import _reduction
from .._call.arrays import detached
from .._call.canonical import Elements, Rows
from .._definition import Array
from ..backends import agnostic
from ..backends import cpu as kernels
from . import compiled, cpu, differentiable, short, softmax, state
from .tied import Again, along, is_one, tied

__all__ = ["cross_entropy", "short", "softmax", "state"]
DEVICES = ("cuda",)  # what Triton has kernels for


def on_gpu(x: Tensor) -> bool:
    """Whether x is an eager tensor on a device that Triton has kernels for, which nothing watches."""
    here = x.device.type in DEVICES and type(x) in state.TENSORS and not state.watched()
    return here and x.layout is torch.strided and _has_triton()


@functools.cache
def _has_triton() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def gpu() -> ModuleType:
    """The way of tensors on a GPU, imported when one is there."""
    from . import gpu as way

    return way


def cross_entropy(rows: Rows) -> Array:
    """The reduced loss of canonical rows, in the fastest way that serves them."""
    if rows.options.inplace and rows.x.requires_grad:
        return _in_place(rows)
    if state.compiling() and compiled.serves(rows):
        value: Tensor = _reduction.reduce_rows(rows, *compiled.cross_entropy(rows))
        return value
    if on_gpu(rows.x):
        return gpu().cross_entropy(rows)
    return cpu.cross_entropy(rows) if cpu.serves_rows(rows) else differentiable.cross_entropy(rows)


def cross_entropy_with_gradient(rows: Rows) -> tuple[Tensor, Tensor]:
    """The reduced loss and its derivative by x, in x's dtype, classes last."""
    rows = without_history(rows)
    if on_gpu(rows.x):
        made: tuple[Tensor, Tensor] = gpu().with_gradient(rows)
        return made
    if cpu.serves_rows(rows):
        value, gradient = cpu.with_gradient(rows)
        return value, torch.as_tensor(gradient, dtype=rows.x.dtype)
    loss, square, gradient = agnostic.cross_entropy_with_gradient(rows, _reduction.scales)
    return _reduction.reduce_rows(rows, loss, square), gradient


def without_history(rows: Rows) -> Rows:
    """The same rows without autograd's history."""
    return rows._replace(**{name: detached(part) for name, part in rows._asdict().items()})


def _in_place(rows: Rows) -> Array:
    """The loss of rows whose logits are overwritten by their gradient.

    Writing bumps the version counter of the logits, so that whoever saved them for a backward pass raises.
    """
    value, gradient = cross_entropy_with_gradient(rows)
    x = rows.x.movedim(-1, rows.axis)
    stored = x.detach()
    if gradient.data_ptr() == stored.data_ptr():
        torch.autograd.graph.increment_version(x)
    else:
        stored.copy_(gradient.movedim(-1, rows.axis))
    call = Again(None, _only_once, (), functools.partial(_times, axis=rows.axis))
    return tied(x, (value, stored), call)


def _times(stored: Tensor, g: Tensor, own: bool, axis: int) -> Array:
    """The stored gradient times the cotangent, of the reduced loss or row by row; itself where that is 1."""
    if is_one(g):
        return stored if own else stored.clone()
    if on_gpu(stored) and g.ndim == 0 and stored.is_contiguous():
        return gpu().product(stored, g, own)
    return stored * along(g, stored, axis).to(stored.dtype)


def _only_once(x: Tensor) -> Array:
    """What a gradient in place cannot have."""
    text = f"inplace=True wrote the gradient over the logits of shape {tuple(x.shape)}, from which second derivatives"
    raise RuntimeError(f"{text} would be formed: use inplace=False")


def room(rows: Rows) -> ModuleType:
    """The room for what is no loss (softmax, statistics): kernels where nothing is differentiated."""
    if on_gpu(rows.x):
        return gpu()
    plain = cpu.serves(rows.x, rows.q, rows.weight, rows.sample_weight) and not cpu.wants_gradient(rows.x)
    return kernels if plain and kernels.serves(rows) else agnostic


def nll(rows: Rows) -> Array:
    """−⟨q, log p⟩ of each row."""
    loss: Tensor = gpu().nll(rows) if on_gpu(rows.x) else agnostic.nll(rows)
    return loss


def binary_cross_entropy_with_logits(call: Elements) -> Array:
    """The reduced binary loss of canonical elements."""
    if on_gpu(call.x):
        return gpu().binary_cross_entropy_with_logits(call)
    if cpu.serves_elements(call):
        return cpu.binary_cross_entropy_with_logits(call)
    return differentiable.binary_cross_entropy_with_logits(call)


def binary_with_gradient(call: Elements) -> tuple[Tensor, Tensor]:
    """The reduced binary loss and its derivative by x, in x's dtype."""
    device = on_gpu(call.x)
    if not device and cpu.serves_elements(call):
        value, gradient = cpu.binary_with_gradient(call)
        return value, torch.as_tensor(gradient, dtype=call.x.dtype)
    own: Any = gpu() if device else agnostic
    loss, slope = own.binary_cross_entropy_with_gradient(call)
    gradient = slope * _reduction.element_scale(loss, call.options)
    return _reduction.reduce_elements(loss, call.options, call.dtype), gradient.to(call.x.dtype)
