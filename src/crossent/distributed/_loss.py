"""The loss of rows whose classes are sharded: one exchange forward, none backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from .. import _reduction
from .._call.canonical import Rows
from .._torch import functions
from ..backends import agnostic
from ..errors import ClassIndexError, OptionError, RankError
from . import _agreement, _gradient, _shard, _statistics
from ._shard import Shard
from ._statistics import Local, Merged


def exchanged(shard: Shard, seen: Local, group: Any, dtype: torch.dtype) -> Merged:
    """The statistics of all classes from those of this rank's columns; `dtype` is that of z."""
    bad = _shard.wrong(shard)
    found = bool(bad is not None and bad.is_cpu and bad.any())
    dtype = _statistics.dtype_of_words(shard, dtype, moment=seen.u is not None)
    gathered = _agreement.gather(group, _statistics.pack(shard, seen, (_shard.digest(shard), int(found)), dtype))
    if gathered.is_cpu:
        _alike(shard, gathered[:, :2, -1].tolist(), bad)
    merged = _statistics.merge(shard, gathered, seen)
    if bad is not None and not bad.is_cpu and merged.target is not None:  # read without waiting: the row is NaN
        merged = merged._replace(target=merged.target._replace(t=torch.where(bad, torch.nan, merged.target.t)))
    return merged


def _alike(shard: Shard, headers: list[list[float]], bad: Tensor | None) -> None:
    """Raise on every rank where one has a class index of no rank, or another target than the others."""
    for rank, (_, found) in enumerate(headers):
        if found:
            own = bad is not None and bool(bad.any())
            text = f"target of rank {rank} holds a class index outside 0 … {shard.classes - 1} — in {shard.call}"
            raise ClassIndexError(_shard.wrong_message(shard, bad) if own and bad is not None else text)
    for rank, (number, _) in enumerate(headers):
        if number != headers[0][0]:
            text = f"target, sample_weight or denominator of rank {rank} is not that of rank 0 of the group"
            raise RankError(f"{text}: ranks that share the classes need the same rows, in one order — in {shard.call}")


class Losses(torch.autograd.Function):
    """(loss, lse, weight of the target) of each row; their gradient by this rank's columns is this rank's own."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, shard: Shard, group: Any) -> tuple[Tensor, Tensor, Tensor]:
        """One exchange."""
        seen = _statistics.local(shard, z)
        merged = exchanged(shard, seen, group, z.dtype)
        ctx.save_for_backward(z)
        ctx.shard, ctx.seen, ctx.merged, ctx.rank = shard, seen, merged, group.rank()
        outputs = told(shard, merged)
        ctx.mark_non_differentiable(outputs[2])
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor, g_lse: Tensor, _: Tensor) -> Any:
        """((w·p − q)·g + p·g_lse)/T."""
        (z,) = ctx.saved_tensors
        return _gradient.by_logits(ctx.shard, z, ctx.seen, ctx.merged, ctx.rank, g, g_lse), None, None


def told(shard: Shard, merged: Merged) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, lse, weight of the target) of each row."""
    options = shard.rows.options
    weight = merged.target.w.clone() if merged.target is not None else torch.zeros_like(merged.m)
    return _statistics.loss(merged, options.label_smoothing), _statistics.lse(merged, options.temperature), weight


def changed(rows: Rows, *, every_row: bool = False) -> Tensor:
    """The columns of this rank, capped, −∞ where no class is; not over the temperature.

    What rows that do not count give is selected away, and so is their gradient; but a soft-cap's is NaN where z is.
    """
    x = rows.x if rows.options.softcap is None else agnostic.inputs(rows, every_row=every_row)
    z: Tensor = agnostic.capped(x, rows.options, functions)
    return z if rows.where is None else torch.where(rows.where, z, -torch.inf)


def cross_entropy(shard: Shard, group: Any, denominator_group: Any) -> Tensor:
    """The reduced loss: the same number on every rank."""
    loss, lse, weight = Losses.apply(changed(shard.rows), shard, group)  # type: ignore[no-untyped-call]  # torch's own
    return reduced(shard, loss, lse, weight, denominator_group)


def reduced(shard: Shard, loss: Tensor, lse: Tensor, weight: Tensor, denominator_group: Any) -> Tensor:
    """The reduced loss from what each row tells."""
    rows, options = shard.rows, shard.rows.options
    loss, square = _weighted(shard, loss, lse)
    if options.reduction != "mean":
        value = loss if square is None else loss + options.z_loss * square
        return _rounded(value.sum() if options.reduction == "sum" else value, rows.dtype)
    count = torch.ones_like(loss) if rows.live is None else rows.live.to(loss.dtype)
    count = count if rows.sample_weight is None else count * rows.sample_weight
    own = count * weight if rows.weight is not None and rows.q is None else count
    divisors = _divisors(options.denominator, loss, (own.sum(), count.sum()), denominator_group)
    value = _reduction.mean(loss, divisors[0], options.on_empty)
    if square is not None:
        value = value + options.z_loss * _reduction.mean(square, divisors[1], options.on_empty)
    return _rounded(value, rows.dtype)


def _counts(rows: Rows, loss: Tensor) -> Tensor | None:
    """Where a row counts: not ignored, and if not finite with a weight."""
    live: Tensor | None = rows.live
    if rows.sample_weight is None:
        return live
    sound: Tensor = (rows.sample_weight != 0) | torch.isfinite(loss)
    return sound if live is None else live & sound


def _selected(value: Tensor, counts: Tensor | None) -> Tensor:
    """0 where a row does not count; so is its gradient."""
    return value if counts is None else torch.where(counts, value, 0.0)


def _rounded(value: Tensor, dtype: torch.dtype) -> Tensor:
    """The result in the caller's dtype."""
    return value.to(dtype)


def _weighted(shard: Shard, loss: Tensor, lse: Tensor) -> tuple[Tensor, Any]:
    """(loss, lse² or None without z-loss) of the rows that count, times their weights."""
    rows = shard.rows
    counts = _counts(rows, loss)
    loss, square = _selected(loss, counts), _selected(lse, counts) ** 2 if rows.options.z_loss else None
    if rows.sample_weight is None:
        return loss, square
    weight: Tensor = rows.sample_weight
    return loss * weight, None if square is None else square * weight


def row_losses(shard: Shard, loss: Tensor, lse: Tensor) -> Tensor:
    """The loss of each row with its z-loss, weighted."""
    loss, square = _weighted(shard, loss, lse)
    return loss if square is None else loss + shard.rows.options.z_loss * square


def _divisors(given: Any, loss: Tensor, sums: tuple[Tensor, Tensor], group: Any) -> tuple[Tensor, Tensor]:
    """The divisors of the mean loss and of the mean lse²: given, or the rows' weights, also over another group."""
    if given is not None:
        value = _reduction.denominator(given, loss)
        return value, value
    if group is None:
        return sums
    both = torch.stack([part.detach() for part in sums])
    distributed.all_reduce(both, group=group)
    return both[0], both[1]


def check_denominator_group(function: str, options: Any, group: Any) -> None:
    """A divisor is summed over a group only where it is made here."""
    if group is None or (options.reduction == "mean" and options.denominator is None):
        return
    text = f"{function}: denominator_group sums the mean's divisor over ranks with other rows, but "
    got = f"reduction={options.reduction!r}" if options.reduction != "mean" else "denominator= is given"
    raise OptionError(f"{text}{got}: leave one of them out")
