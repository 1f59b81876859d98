"""What each row tells over the classes of all ranks: see `crossent.row_stats`; one exchange."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from .. import _definition as definition
from .._call.canonical import RowStats
from .._definition import product, wide
from . import _gradient, _loss, _statistics
from ._shard import Shard
from ._statistics import Local, Merged, Part


class Moments(torch.autograd.Function):
    """(loss, lse, entropy, confidence, log q, argmax) of each row; their gradient by this rank's columns is its own."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, shard: Shard, group: Any) -> tuple[Tensor, ...]:
        """One exchange."""
        seen = _statistics.local(shard, z, moment=True)
        merged = _loss.exchanged(shard, seen, group, z.dtype)
        ctx.save_for_backward(z)
        ctx.shard, ctx.seen, ctx.merged, ctx.rank = shard, seen, merged, group.rank()
        outputs = _told(shard, merged)
        ctx.mark_non_differentiable(outputs[-1])
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor, g_lse: Tensor, g_entropy: Tensor, g_top: Tensor, g_log: Tensor, _: Tensor) -> Any:
        """The sum of the gradients of the parts."""
        (z,), shard, s = ctx.saved_tensors, ctx.shard, ctx.merged
        total = torch.zeros(z.shape, dtype=s.m.dtype, device=z.device)
        if shard.y is not None or shard.rows.q is not None:
            total = total + _gradient.by_definition(shard, z, ctx.seen, s, ctx.rank, g, g_lse)
            plain = _as_given(shard, ctx.seen, s)
            total = total + _gradient.by_definition(*_with(plain, z), ctx.rank, -g_log, torch.zeros_like(g_log))
        else:
            total = total + g_lse[..., None] * _probabilities(shard, z, s) / shard.rows.options.temperature
        return (total + _of_moments(shard, z, ctx.seen, s, ctx.rank, g_entropy, g_top)).to(z.dtype), None, None


def _told(shard: Shard, s: Merged) -> tuple[Tensor, ...]:
    """The outputs of Moments."""
    options = shard.rows.options
    stats = definition.RowStats(s.m, s.r, s.m, s.m, s.place, s.u)
    loss = log_prob = torch.zeros_like(s.m)
    if s.target is not None:
        loss = _statistics.loss(s, options.label_smoothing)
        log_prob = -_statistics.loss(_unweighted(s), 0.0)
    entropy, confidence = definition.entropy(stats), definition.confidence(stats)
    lse, place = _statistics.lse(s, options.temperature), s.place.clone()  # type: ignore[union-attr]  # moments have it
    return loss, lse, entropy, confidence, log_prob, place


def _unweighted(s: Merged) -> Merged:
    """The same with the target as it is given: no class weights, no smoothing."""
    return s._replace(target=s.given or s.target, even=None, exist=None)


def _as_given(shard: Shard, seen: Local, s: Merged) -> tuple[Shard, Local, Merged]:
    """The call without class weights and smoothing."""
    rows = shard.rows
    options = dataclasses.replace(rows.options, label_smoothing=0.0)
    own: Part | None = seen.given or seen.target
    return shard._replace(rows=rows._replace(weight=None, options=options)), seen._replace(target=own), _unweighted(s)


def _with(plain: tuple[Shard, Local, Merged], z: Tensor) -> tuple[Shard, Tensor, Local, Merged]:
    """The same as the gradient takes them."""
    return plain[0], z, plain[1], plain[2]


def _distances(shard: Shard, z: Tensor, s: Merged) -> Tensor:
    """(z − m)/T of this rank's columns."""
    z = wide(z.to(shard.rows.sum_dtype))
    return (z - _statistics.middle(s.m)[..., None]) / shard.rows.options.temperature


def _probabilities(shard: Shard, z: Tensor, s: Merged) -> Tensor:
    """p of this rank's columns; NaN where every logit of a row is −∞."""
    return torch.exp(_distances(shard, z, s)) / torch.where(s.r == -1, torch.nan, 1 + s.r)[..., None]


def _of_moments(shard: Shard, z: Tensor, seen: Local, s: Merged, rank: int, g_entropy: Tensor, g_top: Tensor) -> Tensor:
    """−p·(log p + H)·g + c·(1 at the maximum − p)·g, over T."""
    d, p = _distances(shard, z, s), _probabilities(shard, z, s)
    mass = torch.where(s.r == -1, torch.nan, 1 + s.r)
    if s.u is None:
        raise AssertionError("moments have u")
    centre = s.u / mass  # log p + H = d − u/(1 + r)
    result = -g_entropy[..., None] * (product(p, d) - p * centre[..., None]) - (g_top / mass)[..., None] * p
    at_top = g_entropy * centre / mass + g_top * s.r / mass**2
    place, here = seen.a[..., None], (s.winner == rank)[..., None]
    result = result.scatter(-1, place, torch.where(here, at_top[..., None], result.gather(-1, place)))
    unused = ((g_entropy == 0) & (g_top == 0))[..., None]
    return torch.where(unused, 0.0, result) / shard.rows.options.temperature


def row_stats(shard: Shard, group: Any) -> RowStats:
    """The statistics in the result's dtype; of an ignored row the loss and the log-probability are 0."""
    rows, targets = shard.rows, shard.y is not None or shard.rows.q is not None
    loss, lse, entropy, confidence, log_prob, place = Moments.apply(
        _loss.changed(shard.rows, every_row=True), shard, group
    )  # type: ignore[no-untyped-call]
    if targets:
        loss = _loss.row_losses(shard, loss, lse)
        log_prob = log_prob if rows.live is None else torch.where(rows.live, log_prob, 0.0)
    own = [part.to(rows.dtype) for part in (loss, lse, entropy, confidence, log_prob)]
    return RowStats(own[0] if targets else None, own[1], own[2], place, own[3], own[4] if targets else None)
