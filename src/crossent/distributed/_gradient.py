"""The derivative of what each row tells by this rank's columns: this rank's own, no exchange."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._definition import product, wide
from . import _kernels, _shard, _statistics
from ._shard import Shard
from ._statistics import Local, Merged


def by_logits(shard: Shard, z: Tensor, seen: Local, s: Merged, rank: int, g: Tensor, g_lse: Tensor) -> Tensor:
    """((w·p − q)·g + p·g_lse)/T, in z's dtype."""
    if _kernels.serves(shard, z):
        return _by_kernels(shard, z, seen, s, rank, g, g_lse)
    return by_definition(shard, z, seen, s, rank, g, g_lse).to(z.dtype)


def _by_kernels(shard: Shard, z: Tensor, seen: Local, s: Merged, rank: int, g: Tensor, g_lse: Tensor) -> Tensor:
    """The same in one read and one write; the class of the row and the maximum, where terms cancel, apart."""
    options = shard.rows.options
    own, rest = _at_maximum(shard, seen, s)
    k, mass = _factors(s, own, rest)
    pull, centre = (g * k + g_lse / mass) / options.temperature, _statistics.middle(s.m)
    step = (_statistics.middle(seen.m) - centre) / options.temperature
    still, empty = (g == 0) & (g_lse == 0), (seen.m == -math.inf) & (s.m > -math.inf)
    factor = torch.where(still | empty, 0.0, pull * torch.exp(step) * (1 + seen.r))
    result = _zeroed(_kernels.probabilities(shard, z, factor), empty)
    if options.label_smoothing:
        even = g * _statistics.share(s, options.label_smoothing) / options.temperature
        result -= even.to(z.dtype)[..., None]
    if shard.y is not None:
        _put_target(shard, result, z, s, g, pull)
    at_top = _at_top(own, rest, k, s, g, g_lse / mass) / options.temperature
    _put(result, seen.a, at_top, s.winner == rank)
    return _zeroed(result, still)


def _zeroed(result: Tensor, rows: Tensor) -> Tensor:
    """0 in some rows, whatever is there."""
    return result.masked_fill_(rows[..., None], 0.0) if bool(rows.any()) else result


def _put_target(shard: Shard, result: Tensor, z: Tensor, s: Merged, g: Tensor, pull: Tensor) -> None:
    """The derivative at the class of each row that is here, rounded once."""
    options, weight = shard.rows.options, shard.rows.weight
    index, here = _shard.owned(shard)
    d = (z.gather(-1, index[..., None])[..., 0].to(g.dtype) - _statistics.middle(s.m)) / options.temperature
    mass = (1 - options.label_smoothing) * (torch.ones_like(d) if weight is None else weight[index].to(g.dtype))
    mass = mass + _statistics.share(s, options.label_smoothing) if options.label_smoothing else mass
    _put(result, index, pull * torch.exp(d) - g * mass / options.temperature, here)


def _put(result: Tensor, index: Tensor, value: Tensor, here: Tensor) -> None:
    """A number at one place of each row where it is here."""
    place = index[..., None]
    result.scatter_(
        -1, place, torch.where(here[..., None], value[..., None].to(result.dtype), result.gather(-1, place))
    )


def _factors(s: Merged, own: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """(w/(1 + r), 1 + r) of each row."""
    mass = torch.where(s.r == -1, torch.nan, 1 + s.r)
    return (rest + own) / mass, mass


def _at_top(own: Tensor, rest: Tensor, k: Tensor, s: Merged, g: Tensor, pull: Tensor) -> Tensor:
    """The derivative at the maximum, (w − q) − w·r/(1 + r): see `_definition.gradient`."""
    near = torch.abs(rest) + torch.abs(k) * s.r < torch.abs(own) + torch.abs(k)
    return g * torch.where(near, rest - k * s.r, k - own) + pull


def by_definition(shard: Shard, z: Tensor, seen: Local, s: Merged, rank: int, g: Tensor, g_lse: Tensor) -> Tensor:
    """The same of any target, in the dtype of the sums."""
    z, temperature = wide(z.to(shard.rows.sum_dtype)), shard.rows.options.temperature
    e = torch.exp((z - _statistics.middle(s.m)[..., None]) / temperature)
    own, rest = _at_maximum(shard, seen, s)
    k, mass = _factors(s, own, rest)
    result = _less_target(shard, product((g * k + g_lse / mass)[..., None], e), s, g)
    place = seen.a[..., None]
    at_top = _at_top(own, rest, k, s, g, g_lse / mass)[..., None]
    at_top = torch.where((s.winner == rank)[..., None], at_top, result.gather(-1, place))
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
