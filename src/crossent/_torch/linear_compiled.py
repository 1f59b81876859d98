"""The linear loss as two torch operators, so that torch.compile keeps it whole and its memory stays that of a chunk.

`crossent::linear_cross_entropy` gives the value and, of a reduced loss, the gradients by x, weight and bias as the
chunks leave them; `crossent::linear_cross_entropy_rows` gives those of ⟨upstream, the rows' losses⟩.
What is not wanted is empty.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import library

from .. import _reduction
from .._call.canonical import Layer, Rows
from .._call.options import Options
from .._definition import Array
from .._linear import chunks, passes

CALL = (
    "Tensor x, Tensor weight, Tensor? bias, Tensor? y, Tensor? q, Tensor? class_weight, Tensor? sample_weight, "
    "Tensor? where, Tensor? denominator, float[] numbers, int[] whole_numbers, str reduction, str on_empty, "
    "ScalarType product, ScalarType sums, ScalarType result, bool[] wanted"
)
TENSORS = 9  # of the arguments of a call
TAKES = frozenset(
    ("weight", "ignore_index", "label_smoothing", "sample_weight", "z_loss", "softcap", "temperature", "where")
)


def serves(layer: Layer) -> bool:
    """Whether the operators carry what was asked."""
    return layer.rows.options.asked <= TAKES


def _call(layer: Layer, wanted: chunks.Wanted) -> tuple[Any, ...]:
    """The arguments of the operators."""
    rows, o = layer.rows, layer.rows.options
    divisor = None
    if o.denominator is not None:
        divisor = _reduction.denominator(o.denominator, layer.x.new_zeros((), dtype=rows.sum_dtype))
    arrays = (layer.x, layer.weight, layer.bias, rows.y, rows.q, rows.weight, rows.sample_weight, rows.where, divisor)
    numbers = [float(n) for n in (o.label_smoothing, o.z_loss, o.softcap or 0.0, o.temperature)]
    kinds = (layer.dtype, rows.sum_dtype, rows.dtype)
    return *arrays, numbers, [o.ignore_index, o.chunk_size or 0], o.reduction, o.on_empty, *kinds, list(wanted)


def _layer(*call: Any) -> Layer:
    """The canonical form of such arguments."""
    x, weight, bias, y, q, class_weight, sample_weight, where, denominator, numbers, whole, *rest = call
    reduction, on_empty, product, sums, result, _ = rest
    options = Options(
        ignore_index=whole[0],
        chunk_size=whole[1] or None,
        reduction=reduction,
        label_smoothing=numbers[0],
        z_loss=numbers[1],
        softcap=numbers[2] or None,
        temperature=numbers[3],
        denominator=denominator,
        on_empty=on_empty,
    )
    stand_in = x.new_zeros((), dtype=product).expand(*x.shape[:-1], weight.shape[0])
    live = None if y is None else y != whole[0]
    parts = (stand_in, y, q, live, class_weight, sample_weight, where, options)
    return Layer(x, weight, bias, Rows(*parts, known=False, axis=x.ndim - 1, sum_dtype=sums, dtype=result), product)


def _full(parts: Any, like: Array) -> list[Array]:
    """Operators give back tensors alone: an empty one for None."""
    return [like.new_empty(0) if part is None else part for part in parts]


def _forward(*call: Any) -> Any:
    """The value and the gradients wanted."""
    layer, wanted = _layer(*call), tuple(call[-1])
    reduced = layer.rows.options.reduction != "none"
    with torch.autocast(layer.x.device.type, enabled=False):
        done = passes.forward(layer, wanted if reduced else (False, False, False))
    wide = layer.rows.sum_dtype
    if done.factor == 1:
        by_x, by_weight, by_bias = done.gradients
        by_weight = None if by_weight is None else by_weight.to(wide)  # as `_shapes` has it, of how many chunks ever
        return done.value, *_full((by_x, by_weight, by_bias), layer.x)
    return done.value, *_full(
        [part if part is None else part.to(wide) / done.factor for part in done.gradients], layer.x
    )


def _backward(upstream: Array, *call: Any) -> Any:
    """The gradients wanted of ⟨upstream, the rows' losses⟩."""
    layer = _layer(*call)
    with torch.autocast(layer.x.device.type, enabled=False):
        parts = passes.row_gradients(layer, tuple(call[-1]), upstream.to(layer.rows.sum_dtype))
    return tuple(_full(parts, layer.x))


def _shapes(*call: Any, reduced: bool = True) -> list[Array]:
    """The gradients of a call, as to shape and dtype."""
    x, weight, (product, sums, _, wanted) = call[0], call[1], call[-4:]
    count, classes = math.prod(x.shape[:-1]), weight.shape[0]
    own = sums if reduced and call[11] == "mean" and product is torch.float16 else product  # see chunks.factor
    shapes = ((count, x.shape[-1]), own), (weight.shape, sums), ((classes,), sums)
    made = zip(shapes, wanted, strict=True)
    return [x.new_empty(s, dtype=kind) if w and reduced else x.new_empty(0) for (s, kind), w in made]


def _forward_shapes(*call: Any) -> Any:
    """What `_forward` gives, as to shape and dtype."""
    reduced, result = call[11] != "none", call[-2]
    value = call[0].new_empty(() if reduced else call[0].shape[:-1], dtype=result)
    return value, *_shapes(*call, reduced=reduced)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Array, ...]) -> None:
    """Keep the gradients of a reduced loss, else the call."""
    ctx.rest, ctx.reduced = inputs[TENSORS:], inputs[11] != "none"
    ctx.likes = [(part.shape, part.dtype) if part is not None else None for part in inputs[:3]]
    ctx.save_for_backward(*(output[1:] if ctx.reduced else inputs[:TENSORS]))


def _gradients(ctx: Any, upstream: Array, *_: Any) -> Any:
    """The gradients by every argument."""
    if torch.is_grad_enabled():
        text = "second derivatives do not pass through torch.compile's operator of linear_cross_entropy"
        raise RuntimeError(f"{text}: call it outside of torch.compile, where they are right")
    if ctx.reduced:
        g = upstream.to(ctx.rest[-3])
        parts = [(part * g).to(part.dtype) for part in ctx.saved_tensors]
    else:
        parts = torch.ops.crossent.linear_cross_entropy_rows(upstream, *ctx.saved_tensors, *ctx.rest)
    found = zip(parts, ctx.likes, ctx.rest[-1], strict=True)
    own = [part.to(like[1]).reshape(like[0]) if wanted else None for part, like, wanted in found]
    return *own, *(None for _ in range(len(ctx.rest) + TENSORS - 3))


_out = "(Tensor, Tensor, Tensor, Tensor)"
_operator = library.custom_op("crossent::linear_cross_entropy", _forward, mutates_args=(), schema=f"({CALL}) -> {_out}")
_operator.register_fake(_forward_shapes)
_operator.register_autograd(_gradients, setup_context=_setup)
_rows_operator = library.custom_op(
    "crossent::linear_cross_entropy_rows",
    _backward,
    mutates_args=(),
    schema=f"(Tensor upstream, {CALL}) -> (Tensor, Tensor, Tensor)",
)
_rows_operator.register_fake(lambda _upstream, *call: tuple(_shapes(*call)))


def cross_entropy(layer: Layer, wanted: chunks.Wanted) -> Array:
    """The reduced loss of a layer, as one operator."""
    return torch.ops.crossent.linear_cross_entropy(*_call(layer, wanted))[0]
