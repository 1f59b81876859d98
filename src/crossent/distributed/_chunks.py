"""The losses of a layer whose classes are sharded, chunk by chunk: the logits of some rows at a time, formed twice."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .._call.canonical import Layer, Rows
from .._definition import product, wide
from .._functions import tanh_slope
from .._linear import chunks
from .._linear.layer import counted, rounded, unattached
from . import _gradient, _loss, _shard, _statistics
from ._shard import Shard
from ._statistics import Local


class Losses(torch.autograd.Function):
    """See `_loss.Losses`, of the rows x·Wᵀ + b; the derivative by x is this rank's part of the sum."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer, shard: Shard, group: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The statistics chunk by chunk, then one exchange."""
        seen = _seen(unattached(layer), shard)
        merged = _loss.exchanged(shard, seen, group, layer.dtype)
        ctx.save_for_backward(x, weight, bias)
        ctx.layer, ctx.shard = layer._replace(x=None, weight=None, bias=None), shard
        ctx.seen, ctx.merged, ctx.rank = seen, merged, group.rank()
        outputs = _loss.told(shard, merged)
        ctx.mark_non_differentiable(outputs[2])
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor, g_lse: Tensor, _: Tensor) -> Any:
        """The logits again, overwritten by their gradient, and its products."""
        x, weight, bias = ctx.saved_tensors
        layer, shard = unattached(ctx.layer._replace(x=x, weight=weight, bias=bias)), ctx.shard

        def visit(part: Rows, place: Any) -> None:
            def pick(column: Tensor) -> Tensor:
                return column[place]

            seen, merged = _statistics.mapped(pick, ctx.seen), _statistics.mapped(pick, ctx.merged)
            own, z = _part(shard, part, place), _loss.changed(part, every_row=True)
            result = _gradient.by_logits(own, z, seen, merged, ctx.rank, g[place], g_lse[place])
            cap = part.options.softcap
            part.x.copy_(result if cap is None else product(result, tanh_slope(wide(part.x.to(z.dtype)) / cap)))

        with torch.autocast(x.device.type, enabled=False):
            totals = chunks.walk(layer, visit, tuple(ctx.needs_input_grad[:3]), counted(shard.rows))
        return *rounded(layer, list(totals)), None, None, None


def _part(shard: Shard, rows: Rows, place: Any) -> Shard:
    """The shard on the rows of a chunk."""
    return shard._replace(rows=rows, y=None if shard.y is None else shard.y[place])


def _seen(layer: Layer, shard: Shard) -> Local:
    """The statistics of all rows; those that do not count have none."""
    parts: list[tuple[Any, Local]] = []

    def visit(part: Rows, place: Any) -> None:
        parts.append((place, _statistics.local(_part(shard, part, place), _loss.changed(part, every_row=True))))

    with torch.autocast(layer.x.device.type, enabled=False):
        chunks.walk(layer, visit, (False, False, False), counted(shard.rows))
    if not parts:  # no row counts: the form of one
        one = layer.rows._replace(x=layer.rows.x[:1], **_firsts(layer.rows))
        parts = [(slice(0, 0), _statistics.local(_part(shard, one, slice(0, 1)), _loss.changed(one)))]
        parts = [(slice(0, 0), _statistics.mapped(lambda column: column[:0], parts[0][1]))]
    count = layer.x.shape[0]

    def joined(*columns: Tensor) -> Tensor:
        whole = columns[0].new_zeros(count)
        for (place, _), column in zip(parts, columns, strict=True):
            whole[place] = column
        return whole

    joint: Local = _statistics.mapped(joined, *(seen for _, seen in parts))
    return joint


def _firsts(rows: Rows) -> dict[str, Any]:
    """The first row's own of what there is one a row."""
    names = ("y", "q", "live", "sample_weight", "where")
    own = {name: part for name in names if (part := getattr(rows, name)) is not None}
    return {name: part[:1] for name, part in own.items() if not (name == "where" and part.ndim == 1)}


def cross_entropy(layer: Layer, shard: Shard, group: Any, denominator_group: Any) -> Tensor:
    """The reduced loss: the same number on every rank."""
    rows = shard.rows
    batch, features = tuple(layer.x.shape[:-1]), layer.x.shape[-1]
    flat = shard._replace(rows=_flat(rows), y=None if shard.y is None else shard.y.reshape(-1))
    kept, bias = rows.x.shape[-1], layer.bias
    index = None if shard.y is None else _shard.owned(flat)[0]
    layer = layer._replace(
        x=layer.x.reshape(-1, features),
        weight=layer.weight[:kept],
        bias=None if bias is None else bias[:kept],
        rows=flat.rows._replace(y=index),
    )
    told = Losses.apply(layer.x, layer.weight, layer.bias, layer, flat, group)  # type: ignore[no-untyped-call]
    loss, lse, mass = (one.reshape(batch) for one in told)
    return _loss.reduced(shard, loss, lse, mass, denominator_group)


def _flat(rows: Rows) -> Rows:
    """The rows one behind the other."""
    classes = rows.x.shape[-1]
    shapes = {"x": (-1, classes), "q": (-1, classes), "live": (-1,), "sample_weight": (-1,)}
    if rows.where is not None and rows.where.ndim > 1:
        rows = rows._replace(where=torch.broadcast_to(rows.where, rows.x.shape).reshape(-1, classes))
    named = {name: getattr(rows, name) for name in shapes}
    flat = {name: part.reshape(shapes[name]) for name, part in named.items() if part is not None and name != "x"}
    return rows._replace(x=rows.x.new_zeros(()).expand(math.prod(rows.x.shape[:-1]), classes), **flat)
