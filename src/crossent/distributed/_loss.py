"""The loss of rows whose classes are sharded: one exchange forward, none backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from .. import _reduction
from .._definition import product, wide
from .._torch import functions
from ..backends import agnostic
from ..errors import ClassIndexError, OptionError, RankError
from . import _agreement, _shard, _statistics
from ._shard import Shard
from ._statistics import Local, Merged


def exchanged(shard: Shard, z: Tensor, group: Any, *, moment: bool = False) -> tuple[Local, Merged]:
    """The statistics of this rank's columns and those of all classes."""
    bad = _shard.wrong(shard)
    found = bool(bad is not None and bad.is_cpu and bad.any())
    seen = _statistics.local(shard, z, moment=moment)
    dtype = _statistics.dtype_of_words(shard, z, moment=moment)
    gathered = _agreement.gather(group, _statistics.pack(shard, seen, (_shard.digest(shard), int(found)), dtype))
    if gathered.is_cpu:
        _alike(shard, gathered[:, :2, -1].tolist(), bad)
    merged = _statistics.merge(shard, gathered, seen)
    if bad is not None and not bad.is_cpu and merged.target is not None:  # read without waiting: the row is NaN
        merged = merged._replace(target=merged.target._replace(t=torch.where(bad, torch.nan, merged.target.t)))
    return seen, merged


def _alike(shard: Shard, headers: list[list[float]], bad: Tensor | None) -> None:
    """Raise on every rank where one has a class index of no rank, or another target than the others."""
    for rank, (_, found) in enumerate(headers):
        if found:
            own = bad is not None and bool(bad.any())
            text = f"target of rank {rank} holds a class index outside 0 … {shard.classes - 1} — in {shard.call}"
            raise ClassIndexError(_shard.wrong_message(shard, bad) if own and bad is not None else text)
    for rank, (number, _) in enumerate(headers):
        if number != headers[0][0]:
            text = f"target or sample_weight of rank {rank} is not that of rank 0 of the group"
            raise RankError(f"{text}: ranks that share the classes need the same rows, in one order — in {shard.call}")


class Losses(torch.autograd.Function):
    """(loss, lse, weight of the target) of each row; their gradient by this rank's columns is this rank's own."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, shard: Shard, group: Any) -> tuple[Tensor, Tensor, Tensor]:
        """One exchange."""
        options = shard.rows.options
        seen, merged = exchanged(shard, z, group)
        ctx.save_for_backward(z)
        ctx.shard, ctx.seen, ctx.merged, ctx.rank = shard, seen, merged, group.rank()
        weight = merged.target.w if merged.target is not None else torch.zeros_like(merged.m)
        weight = weight.clone()
        ctx.mark_non_differentiable(weight)
        return _statistics.loss(merged, options.label_smoothing), _statistics.lse(merged, options.temperature), weight

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor, g_lse: Tensor, _: Tensor) -> Any:
        """((w·p − q)·g + p·g_lse)/T."""
        (z,) = ctx.saved_tensors
        return _gradient(ctx.shard, z, ctx.seen, ctx.merged, ctx.rank, g, g_lse).to(z.dtype), None, None


def _gradient(shard: Shard, z: Tensor, seen: Local, s: Merged, rank: int, g: Tensor, g_lse: Tensor) -> Tensor:
    """The derivative by this rank's columns; at the maximum (w − q) − w·r/(1 + r), see `_definition.gradient`."""
    temperature = shard.rows.options.temperature
    e = torch.exp((wide(z) - _statistics.middle(s.m)[..., None]) / temperature)
    mass = torch.where(s.r == -1, torch.nan, 1 + s.r)
    own, rest = _at_maximum(shard, seen, s)
    k = (rest + own) / mass
    result = _less_target(shard, product((g * k + g_lse / mass)[..., None], e), s, g)
    near = torch.abs(rest) + torch.abs(k) * s.r < torch.abs(own) + torch.abs(k)
    at_top = g * torch.where(near, rest - k * s.r, k - own) + g_lse / mass
    place = seen.a[..., None]
    at_top = torch.where((s.winner == rank)[..., None], at_top[..., None], result.gather(-1, place))
    result = result.scatter(-1, place, at_top) / temperature
    return torch.where(((g == 0) & (g_lse == 0))[..., None], 0.0, result)


def _at_maximum(shard: Shard, seen: Local, s: Merged) -> tuple[Tensor, Tensor]:
    """(q at the maximum, the sum of q elsewhere) of each row; the parts are right on the rank that has the maximum."""
    rows, target = shard.rows, s.target
    if target is None:
        raise AssertionError("there is a target")
    own, rest = target.own, target.rest
    if own is None:
        top = shard.y == shard.start + seen.a
        own, rest = torch.where(top, target.w, 0.0), torch.where(top, 0.0, target.w)
    if s.even is None:
        return own, rest  # type: ignore[return-value]  # a dense target has both
    even = torch.ones_like(own) if rows.weight is None else wide(rows.weight)[seen.a]
    mix = rows.options.label_smoothing
    return _statistics.mixed(s, mix, own, even), _statistics.mixed(s, mix, rest, s.even.w - even)


def _less_target(shard: Shard, result: Tensor, s: Merged, g: Tensor) -> Tensor:
    """result − g·q, of this rank's columns."""
    rows, smoothing = shard.rows, shard.rows.options.label_smoothing
    weight = None if rows.weight is None else wide(rows.weight)
    if smoothing:
        even = (g * _statistics.share(s, smoothing))[..., None]
        even = even if weight is None else even * weight
        result = result - (even if rows.where is None else torch.where(rows.where, even, 0.0))
    if rows.q is not None:
        q = wide(rows.q) if weight is None else product(wide(rows.q), weight)
        dense: Tensor = result - (1 - smoothing) * g[..., None] * q
        return dense
    index, here = _shard.owned(shard)
    own = torch.where(here, g if weight is None else g * weight[index], 0.0)
    less: Tensor = result.scatter_add(-1, index[..., None], -(1 - smoothing) * own[..., None])
    return less


def logits(shard: Shard) -> Tensor:
    """The columns of this rank in the dtype of the sums, capped, −∞ where no class is; not over the temperature."""
    rows = shard.rows
    z: Tensor = agnostic.capped(agnostic.inputs(rows), rows.options, functions)
    return z if rows.where is None else torch.where(rows.where, z, -torch.inf)


def cross_entropy(shard: Shard, group: Any, denominator_group: Any) -> Tensor:
    """The reduced loss: the same number on every rank."""
    rows, options = shard.rows, shard.rows.options
    loss, lse, weight = Losses.apply(logits(shard), shard, group)  # type: ignore[no-untyped-call]  # torch's own
    share = torch.ones_like(loss) if rows.live is None else rows.live.to(loss.dtype)
    loss = _weighted(loss, rows.live, rows.sample_weight)
    square = _weighted(lse**2, rows.live, rows.sample_weight) if options.z_loss else None
    if options.reduction != "mean":
        value = loss if square is None else loss + options.z_loss * square
        return _rounded(value.sum() if options.reduction == "sum" else value, rows.dtype)
    count = share if rows.sample_weight is None else share * rows.sample_weight
    own = count * weight if rows.weight is not None and rows.q is None else count
    divisors = _divisors(options.denominator, loss, (own.sum(), count.sum()), denominator_group)
    value = _reduction.mean(loss, divisors[0], options.on_empty)
    if square is not None:
        value = value + options.z_loss * _reduction.mean(square, divisors[1], options.on_empty)
    return _rounded(value, rows.dtype)


def _rounded(value: Tensor, dtype: torch.dtype) -> Tensor:
    """The result in the caller's dtype."""
    return value.to(dtype)


def _weighted(value: Tensor, live: Tensor | None, weight: Tensor | None) -> Tensor:
    """0 in an ignored row, else the value times the row's weight; a weight of 0 makes 0 of what is no number, too."""
    value = value if live is None else torch.where(live, value, 0.0)
    if weight is None:
        return value
    return torch.where((weight != 0) | torch.isfinite(value), value, 0.0) * weight


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
