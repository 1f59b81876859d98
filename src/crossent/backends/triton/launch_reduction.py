"""A reduced loss in few launches: the divisors, the rows' losses (with their gradient), and the value from those.

The divisor of a mean is read on the device, by the kernels that multiply by its inverse; the host never sees it, but
for on_empty="raise", which asks the host to look.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ... import _reduction
from ..._call.canonical import Rows
from ..._definition import Array
from . import launch_losses, layout, reduction
from .call import Numbers, Scale

BLOCK = 1024  # rows that a program takes at a time
ALONE = 64 * BLOCK  # rows that one program takes
MOST = 64  # programs


class Divisor(NamedTuple):
    """What a mean divides by: sums in memory of the device, in `parts` (0: a single number), or a number.

    `ended` is a 0 on the device, for `reduction.total` of many programs; None where nothing has written one.
    """

    sums: Array
    parts: int
    number: float
    ended: Array


def _shares(rows: int) -> int:
    """Into how many shares the rows are cut for a sum."""
    return 1 if rows <= ALONE else MOST


def divisor(rows: Rows) -> Divisor:
    """The divisor of a call's mean, in one launch at most; of a sum it is 1."""
    options, count = rows.options, rows.x.numel() // rows.x.shape[-1]
    given = options.denominator if options.reduction == "mean" else 1.0
    if given is not None:
        if isinstance(given, (int, float)):
            return Divisor(None, 0, float(given), None)
        stand_in = torch.empty((), dtype=rows.sum_dtype, device=rows.x.device)
        return Divisor(_reduction.denominator(given, stand_in), 0, 1.0, None)
    counted = None if rows.live is None else rows.y
    weight = None if rows.y is None else rows.weight
    if counted is None and rows.sample_weight is None and weight is None:
        return Divisor(None, 0, float(count), None)
    return _weighed(rows, count, weight)


def _weighed(rows: Rows, count: int, weight: Array) -> Divisor:
    """The divisor as the sums of the rows' weights."""
    shares = _shares(count)
    sums = torch.empty(2 * shares + 1, dtype=rows.sum_dtype, device=rows.x.device)
    y, sample_weight = (None if p is None else p.reshape(count).contiguous() for p in (rows.y, rows.sample_weight))
    with layout.on(sums.device):
        reduction.weigh[shares,](
            sums, y, None if weight is None else weight.detach().contiguous(), sample_weight, count,
            rows.x.shape[-1], rows.options.ignore_index,
            BLOCK=BLOCK, WIDE=layout.TRITON[rows.sum_dtype], num_warps=8,
        )  # fmt: skip
    return Divisor(sums, shares, 1.0, sums[2 * shares :].view(torch.int32)[:1])


def _value(rows: Rows, loss: Array, square: Array, by: Divisor) -> Array:
    """The reduced loss from those of the rows; raises where it is over nothing and that was asked for."""
    options, shares = rows.options, _shares(loss.numel())
    out = torch.empty((), dtype=rows.dtype, device=loss.device)
    work = ended = None
    if shares > 1:
        work = torch.empty(2 * shares, dtype=loss.dtype, device=loss.device)
        ended = torch.zeros(1, dtype=torch.int32, device=loss.device) if by.ended is None else by.ended
    with layout.on(loss.device):
        reduction.total[shares,](
            loss, square, by.sums, out, work, ended, loss.numel(), layout.bits(by.number),
            layout.bits(options.z_loss or None),
            ZERO=options.on_empty == "zero", PARTS=by.parts, BLOCK=BLOCK, SHARES=shares,
            WIDE=layout.TRITON[rows.sum_dtype], num_warps=8,
        )  # fmt: skip
    if options.reduction == "mean" and options.on_empty == "raise":
        _look_at(by)
    return out


def _look_at(by: Divisor) -> None:
    """Raise where a mean is over nothing: the host waits for the divisor, but cannot while it records a graph."""
    if by.sums is None:
        _reduction.refuse_empty(by.number == 0)
    elif not (by.sums.device.type == "cuda" and torch.cuda.is_current_stream_capturing()):
        _reduction.refuse_empty(fetched(by.sums[: by.parts or 1].sum()) == 0)


def fetched(x: Array) -> float:
    """A number of the device, which the host waits for: the only place of this room where it does."""
    return float(x)


def factors(rows: Rows, by: Divisor, larger: float = 1.0) -> tuple[Numbers, tuple[Array, int]]:
    """What the gradients of loss and lse² are multiplied by, and the sums that divide them; 0 for a divisor 0."""
    one = larger * (1 / by.number if by.number else 0.0)
    return (one, one * rows.options.z_loss), (by.sums, by.parts)


def reduced(rows: Rows) -> Array:
    """The reduced loss."""
    if rows.options.reduction == "none":
        return launch_losses.row_losses(rows, saving=False)[0]
    loss, square = launch_losses.cross_entropy(rows)
    return _value(rows, loss, square, divisor(rows))


def reduced_with_gradient(rows: Rows) -> tuple[Array, Array]:
    """The reduced loss and its derivative by x, of a sum or a mean."""
    by = divisor(rows)
    loss, square, gradient = launch_losses.with_gradient(rows, None, None, *factors(rows, by))
    return _value(rows, loss, square, by), gradient


class Kept(NamedTuple):
    """What the gradient of a reduced loss is formed from once its cotangent is known."""

    state: Array
    by: Divisor


def reduced_with_state(rows: Rows) -> tuple[Array, Kept]:
    """The reduced loss, and what `gradient` forms its derivative from."""
    by = divisor(rows) if rows.options.reduction != "none" else Divisor(None, 0, 1.0, None)
    if rows.options.reduction == "none":
        value, state = launch_losses.row_losses(rows, saving=True)
        return value, Kept(state, by)
    loss, square, state = launch_losses.cross_entropy(rows, saving=True)
    return _value(rows, loss, square, by), Kept(state, by)


def reduced_gradient(rows: Rows, kept: Kept, g: Scale) -> Array:
    """The derivative by x of the reduced loss times its cotangent, which is read on the device, in one launch."""
    formed: Array = launch_losses.gradient(rows, kept.state, g, g, *factors(rows, kept.by))
    return formed
