"""The way of torch tensors on a GPU: Triton's kernels tied to autograd, the definition where they do not serve.

Nothing here waits for the device. A mean or a sum forms its gradient with its value, in one pass; the backward pass
then multiplies it by the cotangent, which a kernel reads on the device and leaves alone where it is 1. Second
derivatives go through the definition.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _reduction
from .._call.canonical import Elements, Rows
from .._definition import Array
from .._door import targets
from ..backends import agnostic, triton
from ..backends.triton import flags
from ..errors import ClassIndexError
from . import differentiable
from .tied import Again, tied, versions

PARTS = ("y", "q", "where", "weight", "sample_weight", "live")


def raise_noted() -> None:
    """Raise ClassIndexError for a target that a kernel has met since the last look; costs one read of memory."""
    noted = flags.take()
    if noted is None:
        return
    device, found = noted
    text = f"target holds {found.value} at position {found.position}, but there are {found.classes} classes"
    hint = targets.index_hint(found.value, found.classes, 0)
    raise ClassIndexError(f"{text} (0 … {found.classes - 1}): {hint} — in an earlier call on {device}")


def synchronize() -> None:
    """Wait for the GPUs, then raise what their kernels have found wrong with the targets."""
    for device in flags.devices():
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    raise_noted()


def _serves(call: Rows | Elements) -> bool:
    """Whether the kernels take a call: those of the room, and no derivative but that by x."""
    others = (part for name, part in call._asdict().items() if name != "x" and isinstance(part, torch.Tensor))
    return triton.serves(call) and not any(part.requires_grad for part in others)


def _differentiated(x: Array) -> bool:
    """Whether autograd will want a derivative by x."""
    return bool(x.requires_grad and torch.is_grad_enabled())


def _looks(rows: Rows) -> bool:
    """Whether a kernel without a backward pass serves."""
    return _serves(rows) and not _differentiated(rows.x)


def cross_entropy(rows: Rows) -> Array:
    """The reduced loss of rows, tied to x.

    A mean or a sum forms its gradient with its value. Losses row by row keep the rows' statistics instead, and so does
    float16, whose small gradients need the loss scale before they are rounded.
    """
    raise_noted()
    if not _serves(rows):
        return differentiable.cross_entropy(rows)
    if not _differentiated(rows.x):
        return triton.reduced(rows)
    with torch.no_grad():
        formed = rows.options.reduction != "none" and rows.x.dtype != torch.float16
        value, kept = triton.reduced_with_gradient(rows) if formed else triton.reduced_with_state(rows)
    return _rows_tied(rows, value, kept, formed=formed)


def _rows_tied(rows: Rows, value: Tensor, kept: Any, *, formed: bool) -> Array:
    """The value of rows, tied to x by its gradient, or by the statistics that form it for a cotangent."""
    rest = rows._replace(x=None)
    tensors = versions(*(getattr(rows, name) for name in PARTS), rows.options.denominator)

    def again(x: Tensor, g: Tensor) -> Array:
        return triton.reduced_gradient(rest._replace(x=x), kept, g)

    def loss(x: Tensor) -> Array:
        return differentiable.cross_entropy(rest._replace(x=x))

    call = Again(None if formed else again, loss, tensors, product)
    return tied(rows.x, (value, kept if formed else None), call)


def product(gradient: Tensor, g: Tensor, own: bool) -> Array:
    """See tied.Call.product: a kernel reads the cotangent on the device; where that is 1 nothing moves."""
    return triton.times(gradient, g, inplace=own)


@torch.no_grad()
def with_gradient(rows: Rows) -> tuple[Tensor, Tensor]:
    """The reduced loss and its derivative by x, in x's dtype; of losses row by row that of their sum."""
    raise_noted()
    if _serves(rows) and rows.options.reduction != "none":
        value, gradient = triton.reduced_with_gradient(rows)
        return value, gradient
    room: Any = triton if _serves(rows) else agnostic
    loss, square, gradient = room.cross_entropy_with_gradient(rows, _reduction.scales)
    return _reduction.reduce_rows(rows, loss, square), gradient


def moments(rows: Rows, rules: Any) -> tuple[Array, Array, Array, Array]:
    """(lse, entropy, argmax, confidence) of each row."""
    return triton.moments(rows) if _looks(rows) else agnostic.moments(rows, rules)


def target_losses(rows: Rows, rules: Any) -> tuple[Array, Array]:
    """(loss, log-probability of the target as given) of each row."""
    raise_noted()
    return triton.target_losses(rows) if _looks(rows) else agnostic.target_losses(rows, rules)


def nll(rows: Rows) -> Array:
    """−⟨q, log p⟩ of each row, for log-probabilities in the place of logits."""
    raise_noted()
    return triton.nll(rows) if _looks(rows) else agnostic.nll(rows)


def binary_cross_entropy_with_logits(b: Elements) -> Array:
    """The reduced loss of elements, tied to x."""
    if not _serves(b):
        return differentiable.binary_cross_entropy_with_logits(b)
    with torch.no_grad():
        value = _reduction.reduce_elements(triton.binary_cross_entropy_with_logits(b), b.options, b.dtype)
    if not _differentiated(b.x):
        return value
    rest = b._replace(x=None)

    def again(x: Tensor, g: Tensor) -> Array:
        scale = _reduction.element_scale(x, b.options)
        along = (g.to(b.y.dtype) * scale).expand(x.shape)
        return triton.binary_with_cotangent(rest._replace(x=x), along, value=False, slope=True, dtype=x.dtype)[1]

    def loss(x: Tensor) -> Array:
        return differentiable.binary_cross_entropy_with_logits(rest._replace(x=x))

    return tied(b.x, (value, None), Again(again, loss, versions(b.y, b.weight, b.pos_weight), product))


def binary_cross_entropy_with_gradient(b: Elements, *, wanted: bool = True) -> tuple[Array, Array]:
    """The loss of each element and, if wanted, its derivative by x, in the dtype of the sums."""
    room: Any = triton if _serves(b) else agnostic
    loss, gradient = room.binary_cross_entropy_with_gradient(b, wanted=wanted)
    return loss, gradient


def softmax(rows: Rows, rules: Any) -> Array:
    """exp(z − m)/(1 + r) of rows without a target."""
    return triton.softmax(*_map(rows)) if _looks(rows) else agnostic.softmax(rows, rules)


def log_softmax(rows: Rows, rules: Any) -> Array:
    """(z − m) − log1p(r)."""
    return triton.log_softmax(*_map(rows)) if _looks(rows) else agnostic.log_softmax(rows, rules)


def logsumexp(rows: Rows, rules: Any) -> Array:
    """m + log1p(r) of each row."""
    return triton.logsumexp(rows.x, rows.where, rows.sum_dtype) if _looks(rows) else agnostic.logsumexp(rows, rules)


def _map(rows: Rows) -> tuple[Any, ...]:
    """The arguments of a softmax."""
    return rows.x, rows.where, rows.options.temperature, rows.dtype, rows.sum_dtype


binary_cross_entropy = agnostic.binary_cross_entropy
