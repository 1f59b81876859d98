"""Losses of torch tensors on the CPU, run eagerly: the C++ room, or without it what comes next.

The gradient is formed in the forward pass, where the row is at hand, and only if it is wanted; second derivatives go
through the definition in torch's own operations, as does every transform. Where the C++ room is not built, plain calls
take torch's own kernel (`float64`), and the others NumPy's functions on the tensor's memory, which cost a third of
torch's: its dispatcher takes some microseconds an operation, which is all there is to a small loss.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _functions, _reduction
from .._call.arrays import dtype_name, values
from .._call.canonical import Elements, Rows
from .._call.options import Options
from .._definition import Array
from ..backends import agnostic, cpu
from . import differentiable, float64, functions, state
from .tied import Again, product, tied, versions

FLOAT64 = np.dtype(np.float64)
ZERO = np.zeros(())


def serves(x: Tensor, *others: Array) -> bool:
    """Whether x is an eager tensor on the CPU, which nothing watches, and the only one differentiated."""
    if not state.unwatched_host(x) or state.watched():
        return False
    own = (part for part in others if isinstance(part, Tensor))
    return all(state.unwatched_host(part) and not part.requires_grad for part in own)


def serves_rows(rows: Rows) -> bool:
    """The same of all that a loss of rows is made of."""
    return serves(rows.x, rows.q, rows.weight, rows.sample_weight, rows.where, rows.options.denominator)


def serves_elements(call: Elements) -> bool:
    """The same of a binary loss."""
    return serves(call.x, call.y, call.weight, call.pos_weight, call.options.denominator)


def wants_gradient(x: Tensor) -> bool:
    """Whether autograd records what is done with x."""
    return x.requires_grad and torch.is_grad_enabled()


def _wide(x: Array, dtype: Any) -> Array:
    """A tensor's numbers in the dtype of the sums, as NumPy's; without a copy where it has that dtype already."""
    return values(x.detach().to(dtype))


def _numpy_options(options: Options) -> Options:
    """Options whose denominator, if a tensor, is NumPy's."""
    if not isinstance(options.denominator, torch.Tensor):
        return options
    return dataclasses.replace(options, denominator=values(options.denominator))


def _rows_tied(rows: Rows, value: Tensor, gradient: Tensor | None, *, kernels: bool) -> Array:
    """The value of rows, tied to x; `kernels` form its gradient anew for a cotangent that needs it."""
    rest = rows._replace(x=None)
    tensors = versions(rows.y, rows.q, rows.weight, rows.sample_weight, rows.where)

    def again(x: Tensor, g: Tensor) -> Array:
        return gradient_for(rest._replace(x=x), g)

    def loss(x: Tensor) -> Array:
        return differentiable.cross_entropy(rest._replace(x=x))

    return tied(rows.x, (value, gradient), Again(again if kernels else None, loss, tensors, product))


def _host(rows: Rows, wide: Any) -> Rows:
    """The rows with NumPy's view of all but the logits and the probabilities, sums and results in `wide`.

    What is done with a number a row is done by NumPy: its operations cost a third of torch's, and need no threads,
    which a forked process has lost.
    """
    names = ("y", "live", "weight", "sample_weight")
    parts = {name: values(part) for name in names if (part := getattr(rows, name)) is not None}
    return rows._replace(options=_numpy_options(rows.options), sum_dtype=wide, dtype=wide, **parts)


def value_and_gradient(rows: Rows, *, wanted: bool) -> tuple[Tensor, Array | None]:
    """The reduced loss of rows that `serves_rows` accepts and, if wanted, its derivative by x, in the sums' dtype."""
    wide = np.dtype(dtype_name(rows.sum_dtype))
    q, where = (None if part is None else values(part) for part in (rows.q, rows.where))
    own = _host(rows, wide)._replace(x=_wide(rows.x, rows.sum_dtype), q=q, where=where)
    with np.errstate(all="ignore"):
        if wanted:
            loss, square, gradient = agnostic.cross_entropy_with_gradient(own, _reduction.scales)
        else:
            (loss, square), gradient = agnostic.cross_entropy(own, _functions), None
        return torch.as_tensor(_reduction.reduce_rows(own, loss, square)).to(rows.dtype), gradient


def _part(rows: Rows, index: Array) -> Rows:
    """Some of the rows, in float64."""
    weight = None if rows.sample_weight is None else rows.sample_weight[index].double()
    x, y = rows.x[index].double(), rows.y[index]
    return rows._replace(x=x, y=y, live=None, sample_weight=weight, sum_dtype=torch.float64)


def _reduced(rows: Rows, loss: Tensor, square: Tensor | None) -> Array:
    """The reduced loss; sums over rows are in float64, as the kernels' own are."""
    if rows.options.reduction == "none" and square is None:
        return loss if loss.dtype == rows.dtype else loss.to(rows.dtype)
    host = _host(rows, FLOAT64)
    seen, squares = (None if part is None else values(part) for part in (loss, square))
    if rows.options.reduction != "none":
        seen, squares = (None if part is None else part.astype(np.float64) for part in (seen, squares))
    with np.errstate(all="ignore"):
        return torch.as_tensor(_reduction.reduce_rows(host, seen, squares)).to(rows.dtype)


def _scales(rows: Rows) -> tuple[float, float]:
    """What each row's loss and each row's lse² are multiplied by in the reduced loss; see _reduction.scales."""
    if rows.options.reduction != "mean":
        return 1.0, rows.options.z_loss
    stand_in = np.broadcast_to(ZERO, tuple(rows.x.shape[:-1]))
    with np.errstate(all="ignore"):
        own, squares = _reduction.scales(_host(rows, stand_in.dtype), stand_in)
    return float(own), float(squares)


def _kernel(rows: Rows) -> tuple[Tensor, Tensor]:
    """(reduced loss, derivative by x in x's dtype) from the C++ room."""
    scales = _scales(rows)
    loss, square, gradient = cpu.cross_entropy_with_gradient(rows, lambda *_: scales)
    return _reduced(rows, loss, square), gradient


def gradient_for(rows: Rows, g: Tensor) -> Array:
    """The derivative by x for a cotangent: of the reduced loss, or of each row."""
    upstream = g.to(rows.sum_dtype) if g.ndim else None
    factor = 1.0 if g.ndim else g.item()
    scales = tuple(part * factor for part in _scales(rows))
    gradient: Tensor = cpu.cross_entropy_with_gradient(rows, lambda *_: scales, upstream)[2]
    return gradient


def _by_room(rows: Rows) -> Array:
    """The reduced loss from the C++ room, tied to x if a gradient may be asked for.

    The gradient is formed with the loss unless each row will have its own cotangent.
    """
    own, wanted = rows._replace(x=rows.x.detach()), wants_gradient(rows.x)
    if wanted and rows.options.reduction != "none":
        value, gradient = _kernel(own)
    else:
        value, gradient = _reduced(own, *cpu.cross_entropy(own)), None
    return _rows_tied(rows, value, gradient, kernels=True) if wanted else value


@torch.no_grad()
def with_gradient(rows: Rows) -> tuple[Array, Array]:
    """The reduced loss of rows that `serves_rows` accepts and its derivative by x, whether x requires one or not."""
    if cpu.serves(rows):
        return _kernel(rows)
    if not float64.serves(rows):
        return value_and_gradient(rows, wanted=True)
    loss, gradient, doubtful = float64.cross_entropy_with_gradient(rows)
    if doubtful is not None:
        exact, _, slope = agnostic.cross_entropy_with_gradient(_part(rows, doubtful), lambda *_: (1.0, 0.0))
        loss, gradient = loss.index_copy(0, doubtful, exact), gradient.index_copy(0, doubtful, slope)
    scale, _ = _reduction.scales(rows, loss)
    return _reduction.reduce_rows(rows, loss, None), gradient * scale


def _by_kernel(rows: Rows) -> Array:
    """The reduced loss from torch's own kernel, the doubtful rows from the definition."""
    loss, doubtful = float64.cross_entropy(rows)
    if doubtful is not None:
        exact, _ = agnostic.cross_entropy(_part(rows, doubtful), functions)
        loss = loss.index_copy(0, doubtful, exact)
    return _reduction.reduce_rows(rows, loss, None)


def cross_entropy(rows: Rows) -> Array:
    """The reduced loss of rows that `serves_rows` accepts, tied to x."""
    if cpu.serves(rows):
        return _by_room(rows)
    if float64.serves(rows):
        return _by_kernel(rows)
    value, gradient = value_and_gradient(rows, wanted=wants_gradient(rows.x))
    if gradient is None:
        return value
    return _rows_tied(rows, value, torch.as_tensor(gradient), kernels=False)


def _binary_kernel(call: Elements, g: Array = None) -> tuple[Array, Array]:
    """(reduced binary loss, derivative by x, times a cotangent) from the C++ room."""
    scale, upstream = float(_reduction.element_scale(call.x, call.options)), None
    if g is not None and g.ndim:
        upstream = g.to(call.y.dtype).contiguous()
    elif g is not None:
        scale = scale * g.item()
    total, gradient = cpu.binary_gradient(call, scale, upstream)
    if call.options.reduction == "none":
        return None, gradient
    sums = torch.tensor(total, dtype=torch.float64)
    mean = call.options.reduction == "mean"
    divisor = _reduction.element_count(call.x, call.options) if mean else 1
    return _reduction.quotient(sums, divisor, call.options.on_empty).to(call.dtype), gradient


def binary_gradient_for(call: Elements, g: Array) -> Array:
    """The derivative by x for a cotangent: of the reduced loss, or of each element."""
    return _binary_kernel(call, g)[1]


def _elements_tied(call: Elements, value: Tensor, gradient: Tensor | None, *, kernels: bool) -> Array:
    """See _rows_tied."""
    rest = call._replace(x=None)

    def again(x: Tensor, g: Tensor) -> Array:
        return binary_gradient_for(rest._replace(x=x), g)

    def loss(x: Tensor) -> Array:
        return differentiable.binary_cross_entropy_with_logits(rest._replace(x=x))

    tensors = versions(call.y, call.weight, call.pos_weight)
    return tied(call.x, (value, gradient), Again(again if kernels else None, loss, tensors, product))


def _binary_by_room(call: Elements) -> Array:
    """The reduced binary loss from the C++ room, tied to x if a gradient may be asked for."""
    own, wanted = call._replace(x=call.x.detach()), wants_gradient(call.x)
    if wanted and call.options.reduction != "none":
        value, gradient = _binary_kernel(own)
    else:
        loss = cpu.binary_cross_entropy_with_logits(own)
        loss = loss if call.options.reduction == "none" else loss.double()
        value, gradient = _reduction.reduce_elements(loss, call.options, call.dtype), None
    return _elements_tied(call, value, gradient, kernels=True) if wanted else value


@torch.no_grad()
def binary_with_gradient(call: Elements, *, wanted: bool = True) -> tuple[Array, Array]:
    """The reduced binary loss of a call that `serves_rows` accepts and, if wanted, its derivative by x."""
    if wanted and cpu.serves_binary(call) and call.options.reduction != "none":
        return _binary_kernel(call._replace(x=call.x.detach()))
    if wanted and float64.serves_binary(call):
        loss, slope = float64.binary_cross_entropy_with_logits(call, gradient=True)
        scale = _reduction.element_scale(loss, call.options)
        return _reduction.reduce_elements(loss, call.options, call.dtype), slope * scale
    x = _wide(call.x, call.y.dtype)
    y, weight, pos_weight = (None if p is None else values(p) for p in (call.y, call.weight, call.pos_weight))
    own = Elements(x, y, weight, pos_weight, _numpy_options(call.options), x.dtype)
    with np.errstate(all="ignore"):
        loss, gradient = agnostic.binary_cross_entropy_with_gradient(own, wanted=wanted)
        value = torch.as_tensor(_reduction.reduce_elements(loss, own.options, x.dtype)).to(call.dtype)
        if gradient is None:
            return value, None
        return value, np.asarray(gradient * _reduction.element_scale(loss, own.options))


def binary_cross_entropy_with_logits(call: Elements) -> Array:
    """The reduced binary loss of a call that `serves_elements` accepts, tied to x."""
    if cpu.serves_binary(call):
        return _binary_by_room(call)
    if float64.serves_binary(call):
        return _reduction.reduce_elements(float64.binary_cross_entropy_with_logits(call), call.options, call.dtype)
    value, gradient = binary_with_gradient(call, wanted=wants_gradient(call.x))
    return value if gradient is None else _elements_tied(call, value, torch.as_tensor(gradient), kernels=False)
