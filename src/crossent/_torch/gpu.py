"""The room of torch tensors on a GPU: Triton's kernels tied to autograd, the definition where they do not serve.

Nothing here waits for the device. A mean or a sum forms its gradient with its value, in one pass; the backward pass
then multiplies it by the cotangent, which a kernel reads on the device and leaves alone where it is 1. Losses row by
row keep the rows' statistics instead, and so does float16, whose small gradients need the loss scale before they are
rounded. Second derivatives go through the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .. import _reduction
from .._call.options import Binary, Rows
from .._definition import Array
from .._door import targets
from ..backends import agnostic, triton
from ..backends.triton import flags
from ..errors import ClassIndexError

Slow = Callable[[Array], Any]
Context = Any
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


def _serves(call: Rows | Binary) -> bool:
    """Whether the kernels take a call: those of the room, and no derivative but that by x."""
    others = (part for name, part in call._asdict().items() if name != "x" and isinstance(part, torch.Tensor))
    return triton.serves(call) and not any(part.requires_grad for part in others)


def _differentiated(x: Array) -> bool:
    """Whether autograd will want a derivative by x."""
    return bool(x.requires_grad and torch.is_grad_enabled())


def _looks(rows: Rows) -> bool:
    """Whether a kernel without a backward pass serves."""
    return _serves(rows) and not _differentiated(rows.x)


class _Rows(torch.autograd.Function):
    """(loss, lse² or None) of each row; the statistics are saved, the gradient is formed at any cotangents."""

    @staticmethod
    def forward(ctx: Context, x: Array, rows: Rows, slow: Slow) -> Any:
        """The losses, and the statistics saved."""
        loss, square, state = triton.cross_entropy(rows._replace(x=x), saving=True)
        ctx.save_for_backward(x, state, *(getattr(rows, name) for name in PARTS))
        nothing: dict[str, Any] = dict.fromkeys(PARTS)
        ctx.rows, ctx.slow = rows._replace(x=None, **nothing), slow
        ctx.set_materialize_grads(False)
        return loss, square

    @staticmethod
    def backward(ctx: Context, g: Array, g_square: Array) -> Any:
        """The gradient at the cotangents; through the definition if it is to be differentiated again."""
        x, state, *parts = ctx.saved_tensors
        if torch.is_grad_enabled():
            pairs = [(out, along) for out, along in zip(ctx.slow(x), (g, g_square), strict=True) if along is not None]
            values, cotangents = zip(*pairs, strict=True)
            return torch.autograd.grad(values, x, cotangents, create_graph=True)[0], None, None
        rows = ctx.rows._replace(x=x, **dict(zip(PARTS, parts, strict=True)))
        factors = (0.0 if along is None else along for along in (g, g_square))
        return triton.gradient(rows, state, *factors), None, None


class _Reduced(torch.autograd.Function):
    """A reduced loss whose gradient has been formed with it."""

    @staticmethod
    def forward(ctx: Context, x: Array, value: Array, gradient: Array, slow: Slow) -> Array:
        """Give the value; keep the gradient."""
        ctx.save_for_backward(x, gradient)
        ctx.slow = slow
        return value

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """The kept gradient times the cotangent: in place, unless another backward pass is to come."""
        x, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():
            return torch.autograd.grad(ctx.slow(x), x, g, create_graph=True)[0], None, None, None
        return triton.times(gradient, g, inplace=not _kept()), None, None, None


def _kept() -> bool:
    """Whether the running backward pass keeps its graph for another one (retain_graph=True)."""
    ask = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return True if ask is None else bool(ask())


class _Elements(torch.autograd.Function):
    """The binary loss of each element."""

    @staticmethod
    def forward(ctx: Context, x: Array, call: Binary, slow: Slow) -> Array:
        """The losses."""
        ctx.save_for_backward(x, call.y, call.weight, call.pos_weight)
        ctx.call, ctx.slow = call._replace(x=None, y=None, weight=None, pos_weight=None), slow
        return triton.binary_cross_entropy_with_logits(call._replace(x=x))

    @staticmethod
    def backward(ctx: Context, g: Array) -> Any:
        """The gradient at the cotangent, in x's dtype."""
        x, y, weight, pos_weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return torch.autograd.grad(ctx.slow(x), x, g, create_graph=True)[0], None, None
        call = ctx.call._replace(x=x, y=y, weight=weight, pos_weight=pos_weight)
        return triton.binary_with_cotangent(call, g, value=False, slope=True, dtype=x.dtype)[1], None, None


def cross_entropy(rows: Rows, rules: Any) -> tuple[Array, Array]:
    """(loss, lse² or None) of each row, tied to x."""
    raise_noted()
    if not _serves(rows):
        return agnostic.cross_entropy(rows, rules)
    if not _differentiated(rows.x):
        loss, square = triton.cross_entropy(rows)
        return loss, square
    apply: Any = _Rows.apply
    loss, square = apply(rows.x, rows, lambda x: agnostic.cross_entropy(rows._replace(x=x), rules))
    return loss, square


def fuses(rows: Rows) -> bool:
    """Whether a reduced loss forms its gradient with its value."""
    given = rows.options.denominator
    plain = rows.options.reduction != "none" and not getattr(given, "requires_grad", False)
    return plain and _differentiated(rows.x) and rows.x.dtype != torch.float16 and _serves(rows)


def reduced_cross_entropy(rows: Rows, rules: Any) -> Array:
    """The reduced loss of rows for which `fuses` holds, tied to x."""
    raise_noted()

    def slow(x: Array) -> Array:
        """The same loss in differentiable operations."""
        own = rows._replace(x=x)
        return _reduction.reduce_rows(own, *agnostic.cross_entropy(own, rules))

    with torch.no_grad():
        loss, square, gradient = triton.cross_entropy_with_gradient(rows, _reduction.scales)
        value = _reduction.reduce_rows(rows, loss, square)
    apply: Any = _Reduced.apply
    return apply(rows.x, value, gradient, slow)


def cross_entropy_with_gradient(rows: Rows, scales: Any) -> tuple[Array, Array, Array]:
    """(loss, lse² or None) of each row, and d/dx of their sum scaled by `scales(rows, loss)`, in x's dtype."""
    raise_noted()
    room: Any = triton if _serves(rows) else agnostic
    loss, square, gradient = room.cross_entropy_with_gradient(rows, scales)
    return loss, square, gradient


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


def binary_cross_entropy_with_logits(b: Binary, rules: Any) -> Array:
    """The loss of each element, tied to x."""
    if not _serves(b):
        return agnostic.binary_cross_entropy_with_logits(b, rules)
    if not _differentiated(b.x):
        return triton.binary_cross_entropy_with_logits(b)
    apply: Any = _Elements.apply
    return apply(b.x, b, lambda x: agnostic.binary_cross_entropy_with_logits(b._replace(x=x), rules))


def binary_cross_entropy_with_gradient(b: Binary, *, wanted: bool = True) -> tuple[Array, Array]:
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
