"""The statistics of each row on this rank's columns, packed into one tensor, and merged over the ranks.

For a row z of this rank, relative to its own maximum m:  r = Σ exp((z − m)/T) − 1,  and for the target q without
smoothing and for the even distribution that smoothing mixes in, t = Σ q·(z − m)/T and w = Σ q each. Smoothing is mixed
in afterwards, with the number of classes of all ranks; so is the weight of the row, which all ranks know.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _definition as definition
from .._definition import RowStats, product, wide
from . import _kernels, _shard
from ._shard import Shard


class Part(NamedTuple):
    """t = ⟨q, (z − m)/T⟩ and w = Σ q of each row; for a dense q also q at the maximum, and the sum of the others."""

    t: Tensor
    w: Tensor
    own: Tensor | None = None
    rest: Tensor | None = None


class Local(NamedTuple):
    """What a rank has of each row: the value and the place of its maximum, r, the target's parts, u and the classes.

    `exist` is the number of classes that exist, for smoothing; u is there for the entropy alone, and with class weights
    `given`, the target's part without them.
    """

    m: Tensor
    r: Tensor
    a: Tensor
    target: Part | None
    even: Part | None
    exist: Tensor | None
    u: Tensor | None
    given: Part | None = None


class Merged(NamedTuple):
    """The same of all classes: t relative to their maximum m, which rank `winner` has, there class number `place`."""

    m: Tensor
    r: Tensor
    winner: Tensor
    target: Part | None
    even: Part | None
    exist: Tensor | None
    u: Tensor | None
    place: Tensor | None
    given: Part | None = None


def mapped(function: Callable[..., Tensor], *same: Any) -> Any:
    """The same statistics with each tensor put through a function; of several, with the tensors beside each other."""
    if same[0] is None or isinstance(same[0], Tensor):
        return None if same[0] is None else function(*same)
    return type(same[0])(*(mapped(function, *parts) for parts in zip(*same, strict=True)))


def middle(m: Tensor) -> Tensor:
    """The maximum as what is subtracted: 0 where it is infinite."""
    return torch.where(torch.isfinite(m), m, 0.0)


def local(shard: Shard, z: Tensor, *, moment: bool = False) -> Local:
    """The statistics of this rank's columns z, capped and masked but not yet over the temperature."""
    if not moment and _kernels.serves(shard, z):
        return _by_kernels(shard, z)
    rows, z = shard.rows, wide(z.to(shard.rows.sum_dtype))
    m, a = z.max(dim=-1)
    _, _, r, _, d, e = definition.centre((z - middle(m)[..., None]) / rows.options.temperature)
    target, even, exist, given = _target(shard, d, a), None, None, None
    if rows.options.label_smoothing:
        exists = torch.ones_like(d) if rows.where is None else torch.broadcast_to(rows.where, d.shape).to(d.dtype)
        exist = exists.sum(dim=-1)
        q = exists if rows.weight is None else exists * rows.weight
        even = Part(product(q, d).sum(dim=-1), q.sum(dim=-1))
    if moment and rows.weight is not None:
        given = _target(shard._replace(rows=rows._replace(weight=None)), d, a)
    return Local(m, r, a, target, even, exist, torch.sum(product(e, d), dim=-1) if moment else None, given)


def _by_kernels(shard: Shard, z: Tensor) -> Local:
    """The same in one read of the logits, and one more for smoothing."""
    rows, temperature, even, exist = shard.rows, shard.rows.options.temperature, None, None
    m, r, a = _kernels.statistics(shard, z)
    if rows.options.label_smoothing:
        exist = torch.full_like(m, float(z.shape[-1]))
        total = z.sum(dim=-1, dtype=m.dtype) - z.shape[-1] * middle(m)
        even = Part(torch.where(m == -math.inf, 0.0, total / temperature), exist)
    target = None
    if shard.y is not None:
        index, here = _shard.owned(shard)
        step = (z.gather(-1, index[..., None])[..., 0].to(m.dtype) - middle(m)) / temperature
        target = _indexed(shard, step, index, here)
    return Local(m, r, a, target, even, exist, None, None)


def _target(shard: Shard, d: Tensor, a: Tensor) -> Part | None:
    """The part of the target as given, times the weights of the classes."""
    rows = shard.rows
    if rows.q is not None:
        q = wide(rows.q) if rows.weight is None else product(wide(rows.q), wide(rows.weight))
        place = a[..., None]
        own, rest = q.gather(-1, place)[..., 0], q.scatter(-1, place, 0.0).sum(dim=-1)
        return Part(product(q, d).sum(dim=-1), own + rest, own, rest)
    if shard.y is None:
        return None
    index, here = _shard.owned(shard)
    return _indexed(shard, d.gather(-1, index[..., None])[..., 0], index, here)


def _indexed(shard: Shard, step: Tensor, index: Tensor, here: Tensor) -> Part:
    """The part of class indices, `step` being (z − m)/T at this rank's column `index`."""
    weight = shard.rows.weight
    w = here.to(step.dtype) if weight is None else torch.where(here, weight[index].to(step.dtype), 0.0)
    return Part(product(w, step), w)


def _columns(seen: Local, start: int) -> list[Tensor]:
    """What travels of each row, in the order in which `_Words` takes it up again."""
    columns = [seen.m, seen.r]
    for part in (seen.target, seen.even, seen.given):
        if part is not None:
            columns += [part.t, part.w] if part.own is None or part.rest is None else [part.t, part.own, part.rest]
    columns += [] if seen.exist is None else [seen.exist]
    return columns + ([] if seen.u is None else [seen.u, (seen.a + start).to(seen.m.dtype)])


def pack(shard: Shard, seen: Local, header: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """(columns, rows + 1) of this rank: its statistics, and a place at the end for what concerns the whole call."""
    columns = _columns(seen, shard.start)
    packed = torch.zeros((len(columns), seen.m.numel() + 1), dtype=dtype, device=seen.m.device)
    for k, column in enumerate(columns):
        packed[k, :-1] = column.reshape(-1)
    packed[0, -1], packed[1, -1] = header
    return packed


def dtype_of_words(shard: Shard, dtype: torch.dtype, *, moment: bool) -> torch.dtype:
    """float32 where m and w are float32 numbers, and every sum is one of terms of one sign; else float64.

    Then four words a row travel: 16 bytes.
    """
    options = shard.rows.options
    exact = options.temperature == 1 and not options.label_smoothing and shard.rows.q is None and not moment
    return torch.float32 if dtype != torch.float64 and exact else torch.float64


def unpack(words: Tensor, seen: Local) -> Local:
    """What another rank has sent, in the form of this rank's own `seen`; `a` is its class number, or None."""
    columns = iter(words[:, :-1].to(seen.m.dtype).reshape(words.shape[0], *seen.m.shape))

    def part(like: Part | None) -> Part | None:
        if like is None:
            return None
        t, first = next(columns), next(columns)
        rest = None if like.own is None else next(columns)
        return Part(t, first) if rest is None else Part(t, first + rest, first, rest)

    m, r, target, even = next(columns), next(columns), part(seen.target), part(seen.even)
    given = part(seen.given)
    exist = None if seen.exist is None else next(columns)
    u, a = (None, None) if seen.u is None else (next(columns), next(columns))
    return Local(m, r, a, target, even, exist, u, given)  # type: ignore[arg-type]  # a has not travelled where nobody asks


def merge(shard: Shard, gathered: Tensor, seen: Local) -> Merged:
    """The statistics of all classes, by `_definition.merge` in the order of the classes: the same on every rank."""
    ranks = [unpack(gathered[k], seen) for k in shard.order]
    top = torch.stack([one.m for one in ranks]).amax(dim=0)
    scaled = [_relative(one.m, top, shard.rows.options.temperature) for one in ranks]
    base = _merged([_stats(m, one, None, k) for k, (m, one) in enumerate(zip(scaled, ranks, strict=True))])
    winner = base.a.long()

    def part(name: str) -> Part | None:
        if getattr(seen, name) is None:
            return None
        parts = [getattr(one, name) for one in ranks]
        stats = _merged([_stats(m, one, p, 0) for m, one, p in zip(scaled, ranks, parts, strict=True)])
        return _shares(stats, parts, winner)

    numbers = [one.exist for one in ranks if one.exist is not None]
    exist = torch.stack(numbers).sum(dim=0) if numbers else None
    place = None if seen.u is None else _chosen([one.a for one in ranks], winner).long()
    owner = torch.tensor(shard.order, device=winner.device)[winner]
    return Merged(top, base.r, owner, part("target"), part("even"), exist, base.u, place, part("given"))


def _relative(m: Tensor, top: Tensor, temperature: float) -> Tensor:
    """(m − the maximum of all)/T; an infinite m as it is."""
    return torch.where(torch.isfinite(m), (m - middle(top)) / temperature, m)


def _stats(m: Tensor, one: Local, part: Part | None, k: int) -> RowStats:
    """The statistics of a rank as the definition has them, with the rank in the place of the class."""
    zero = torch.zeros_like(m)
    t, w = (zero, zero) if part is None else (part.t, part.w)
    return RowStats(m, one.r, t, w, zero + k, one.u if part is None else None)


def _merged(ranks: list[RowStats]) -> RowStats:
    """All of them, in their order."""
    whole = ranks[0]
    for one in ranks[1:]:
        whole = definition.merge(whole, one)
    return whole


def _chosen(values: list[Tensor], winner: Tensor) -> Tensor:
    """Of each row the winner's number."""
    return torch.stack(values).gather(0, winner[None])[0]


def _shares(stats: RowStats, parts: list[Part], winner: Tensor) -> Part:
    """A part of the whole; of a dense q with its share at the maximum and the others' sum: nothing is taken off."""
    if parts[0].own is None:
        return Part(stats.t, stats.w)
    rest = torch.zeros_like(stats.t)
    for k, part in enumerate(parts):
        rest = rest + part.rest + torch.where(winner == k, 0.0, part.own)  # type: ignore[operator,arg-type]  # both dense
    return Part(stats.t, stats.w, _chosen([p.own for p in parts if p.own is not None], winner), rest)


def mixed(s: Merged, smoothing: float, one: Tensor | None, other: Tensor | None) -> Tensor:
    """(1 − ε)·one + ε/C·other: a number of the smoothed target from those of its parts."""
    if one is None:
        raise AssertionError("there is a target")
    if not smoothing or other is None:
        return one
    return (1 - smoothing) * one + share(s, smoothing) * other


def share(s: Merged, smoothing: float) -> Tensor:
    """ε/C of each row."""
    return smoothing / torch.where(s.exist == 0, 1.0, s.exist)  # type: ignore[arg-type]  # smoothing counts


def loss(s: Merged, smoothing: float) -> Tensor:
    """w·log1p(r) − t."""
    even = s.even or Part(None, None)  # type: ignore[arg-type]
    target = s.target or Part(None, None)  # type: ignore[arg-type]
    w, t = mixed(s, smoothing, target.w, even.w), mixed(s, smoothing, target.t, even.t)
    return torch.where(s.m == -math.inf, math.nan, w * torch.log1p(s.r) - t)


def lse(s: Merged, temperature: float) -> Tensor:
    """m/T + log1p(r)."""
    infinite = (s.m == math.inf) | (s.m == -math.inf)
    return torch.where(infinite, s.m, s.m / temperature + torch.log1p(s.r))
