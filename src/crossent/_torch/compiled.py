"""The kernels as custom operators of PyTorch, for torch.compile: one node of the graph each way, no graph break.

`crossent::row_losses` gives each row's loss and sample_weight·lse², `crossent::row_gradient` their derivative by the
logits for a cotangent of each, formed from the logits again. The second derivative is the definition's. A class index
that is no class gives a NaN row: a compiled graph does not look at values.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor, library
from torch._decomp import register_decomposition

from .. import _functions
from .._call.canonical import Rows
from .._call.options import Options
from .._linear import device
from ..backends import agnostic, cpu
from . import functions, state

READY = cpu.built()
GPU_READY = importlib.util.find_spec("triton") is not None  # a constant: torch.compile reads it
TAKES = frozenset(("weight", "ignore_index", "label_smoothing", "sample_weight", "z_loss", "softcap", "temperature"))


def serves(rows: Rows) -> bool:
    """Whether a traced call is the operators': tensors that there are kernels for, only the logits differentiated.

    A transform inside the graph takes the definition; so does torch.export, whose programs run without this package.
    """
    if not rows.options.asked <= TAKES or state.transforming() or state.exporting():
        return False
    here = GPU_READY if device.on_gpu(rows.x) else READY and rows.x.device.type == "cpu"
    if not here or rows.where is not None or (rows.y is None and rows.q is None):
        return False
    return not any(p is not None and p.requires_grad for p in (rows.q, rows.weight, rows.sample_weight))


def _rows(x: Tensor, targets: tuple[Any, ...], settings: tuple[Any, ...]) -> Rows:
    """The canonical rows of an operator's arguments; the operator's results are in the dtype of the sums."""
    y, q, weight, sample_weight = targets
    ignore_index, label_smoothing, softcap, temperature, wide = settings
    options = Options(
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        softcap=softcap or None,
        temperature=temperature,
        z_loss=1.0,
    )
    dtype = torch.float64 if wide else torch.float32
    live = None if y is None else y != ignore_index
    return Rows(x, y, q, live, weight, sample_weight, None, options, False, x.ndim - 1, dtype, dtype)


@library.custom_op("crossent::row_losses", mutates_args=(), device_types=("cpu", "cuda"))
def row_losses(
    x: Tensor,
    y: Tensor | None,
    q: Tensor | None,
    weight: Tensor | None,
    sample_weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    softcap: float,
    temperature: float,
    wide: bool,
) -> tuple[Tensor, Tensor]:
    """The loss of each row, and sample_weight·lse²."""
    settings = (ignore_index, label_smoothing, softcap, temperature, wide)
    rows = _rows(x.detach(), (y, q, weight, sample_weight), settings)
    losses: tuple[Tensor, Tensor] = _room(rows).cross_entropy(rows, functions)
    return losses


def _room(rows: Rows) -> Any:
    """The kernels for the rows, or the definition: a graph may outlive the setting that it was made under."""
    return device.room(rows) or (cpu if rows.x.is_cpu and cpu.built() else agnostic)


@row_losses.register_fake
def _(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    dtype = torch.float64 if arguments[-1] else torch.float32
    return x.new_empty(x.shape[:-1], dtype=dtype), x.new_empty(x.shape[:-1], dtype=dtype)


@library.custom_op("crossent::row_gradient", mutates_args=(), device_types=("cpu", "cuda"))
def row_gradient(
    loss_cotangent: Tensor,
    square_cotangent: Tensor,
    x: Tensor,
    y: Tensor | None,
    q: Tensor | None,
    weight: Tensor | None,
    sample_weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    softcap: float,
    temperature: float,
    wide: bool,
) -> Tensor:
    """The derivative by x of the rows' losses and squares, each times its cotangent."""
    gradient: Tensor
    rows = _rows(x.detach(), (y, q, weight, sample_weight), (ignore_index, label_smoothing, softcap, temperature, wide))
    dtype = rows.sum_dtype
    if (own := device.room(rows)) is not None:
        cotangents = (loss_cotangent.to(dtype), square_cotangent.to(dtype))
        gradient = own.cross_entropy_with_gradient(rows, lambda *_: cotangents)[2]
        return gradient
    if _room(rows) is agnostic:
        return _gradient_by_definition(rows, loss_cotangent, square_cotangent)
    _, _, gradient = cpu.cross_entropy_with_gradient(rows, lambda *_: (1.0, 0.0), loss_cotangent.to(dtype))
    if bool((square_cotangent != 0).any()):
        _, _, pull = cpu.cross_entropy_with_gradient(rows, lambda *_: (0.0, 1.0), square_cotangent.to(dtype))
        gradient = gradient + pull
    return gradient


def _gradient_by_definition(rows: Rows, loss_cotangent: Tensor, square_cotangent: Tensor) -> Tensor:
    """See row_gradient."""
    with torch.enable_grad():
        x = rows.x.requires_grad_()
        parts = agnostic.cross_entropy(rows, functions)
        cotangents = (loss_cotangent.to(rows.sum_dtype), square_cotangent.to(rows.sum_dtype))
        gradient: Tensor = torch.autograd.grad(parts, x, cotangents)[0]
        return gradient


@row_gradient.register_fake
def _(*arguments: Any) -> Any:
    return torch.empty_like(arguments[2])


def _defined(x: Tensor, targets: tuple[Any, ...], settings: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """The same two numbers of each row in torch's own operations."""
    loss, square = agnostic.cross_entropy(_rows(x, targets, settings), functions)
    return loss, square


@register_decomposition(torch.ops.crossent.row_losses.default)
def _decomposed(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    """The operator in torch's own operations, for exporters that know no other."""
    loss, square = agnostic.cross_entropy(_rows(x, arguments[:4], arguments[4:]), _functions)
    return loss, square


@register_decomposition(torch.ops.crossent.row_gradient.default)
def _decomposed_gradient(loss_cotangent: Tensor, square_cotangent: Tensor, x: Tensor, *arguments: Any) -> Tensor:
    """See _decomposed."""
    rows = _rows(x, arguments[:4], arguments[4:])
    scales = loss_cotangent.to(rows.sum_dtype)[..., None], square_cotangent.to(rows.sum_dtype)
    gradient: Tensor = agnostic.cross_entropy_with_gradient(rows, lambda *_: scales)[2]
    return gradient


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001  # torch's signature
    """Save the tensors of a call of row_losses."""
    ctx.save_for_backward(*inputs[:5])
    ctx.settings = inputs[5:]


def _backward(ctx: Any, loss_cotangent: Tensor, square_cotangent: Tensor) -> tuple[Any, ...]:
    """The derivative by x alone."""
    x, *targets = ctx.saved_tensors
    gradient = torch.ops.crossent.row_gradient(loss_cotangent, square_cotangent, x, *targets, *ctx.settings)
    return (gradient, *[None] * 9)


def _save_again(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001  # torch's signature
    """Save the tensors of a call of row_gradient."""
    ctx.save_for_backward(*inputs[:7])
    ctx.settings = inputs[7:]


def _backward_again(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    """The second derivative, through the definition: by the cotangents and by x."""
    *leaves, y, q, weight, sample_weight = ctx.saved_tensors
    with torch.enable_grad():
        one, two, x = (leaf.detach().requires_grad_() for leaf in leaves)
        parts = _defined(x, (y, q, weight, sample_weight), ctx.settings)
        (first,) = torch.autograd.grad(parts, x, (one, two), create_graph=True)
        results = torch.autograd.grad(first, (one, two, x), g, allow_unused=True)
    return (*results, *[None] * 9)


row_losses.register_autograd(_backward, setup_context=_save)
row_gradient.register_autograd(_backward_again, setup_context=_save_again)


def _batched(name: str, info: Any, dims: tuple[Any, ...], tensors: tuple[Any, ...]) -> list[Any]:
    """Tensors with their batch axis first, those without one repeated; the weights of the classes must have none."""
    if dims[-2] is not None:
        raise NotImplementedError(f"crossent::{name}: vmap over the class weights; use the definition")
    moved: list[Any] = []
    for place, (tensor, dim) in enumerate(zip(tensors, dims, strict=True)):
        if tensor is None or place == len(tensors) - 2:
            moved.append(tensor)
        else:
            moved.append(tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0))
    return moved


def _vmap_losses(info: Any, dims: tuple[Any, ...], *arguments: Any) -> Any:
    """A batch of calls is one call with one more axis of rows."""
    tensors = _batched("row_losses", info, dims[:5], arguments[:5])
    return torch.ops.crossent.row_losses(*tensors, *arguments[5:]), (0, 0)


def _vmap_gradient(info: Any, dims: tuple[Any, ...], *arguments: Any) -> Any:
    """See _vmap_losses."""
    tensors = _batched("row_gradient", info, dims[:7], arguments[:7])
    return torch.ops.crossent.row_gradient(*tensors, *arguments[7:]), 0


row_losses.register_vmap(_vmap_losses)
row_gradient.register_vmap(_vmap_gradient)


def cross_entropy(rows: Rows, _rules: Any = None) -> tuple[Tensor, Tensor | None]:
    """See agnostic.cross_entropy; for rows that `serves` accepts."""
    options = rows.options
    settings = (float(options.label_smoothing), float(options.softcap or 0.0), float(options.temperature))
    loss, square = torch.ops.crossent.row_losses(
        rows.x,
        rows.y,
        rows.q,
        rows.weight,
        rows.sample_weight,
        options.ignore_index,
        *settings,
        rows.sum_dtype is torch.float64,
    )
    return loss, None if options.z_loss == 0 else square
