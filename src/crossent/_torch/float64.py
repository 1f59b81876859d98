"""torch's own kernel for plain calls on the CPU: in float64, and taken for the rows where it is exact enough.

Where the C++ room is not built this is the fast way of small batches: one kernel call takes the time of a few of the
definition's thirty. torch's loss is (z − m) − log Σ exp(z − m), in float64 right to about 2⁻⁵⁰ absolutely; rounded to
float32 that is exact unless a row's loss is below 2⁻²⁴ (its class's probability rounds to 1) or not finite. Such rows
are named, and the caller takes the definition for them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from .._call.canonical import Elements, Rows
from .._definition import Array

SMALLEST = 2.0**-24
NARROW = (torch.float32, torch.bfloat16, torch.float16)


TAKES = frozenset(("ignore_index", "label_smoothing", "sample_weight"))
TAKES_OF_ELEMENTS = TAKES | {"weight"}


def serves(rows: Rows) -> bool:
    """Whether the call is plain: (N, C) rows, indices seen to be classes, no class weights, no mask, a narrow dtype."""
    if not rows.options.asked <= TAKES:
        return False
    simple = rows.known and rows.y.ndim == 1 and rows.weight is None and rows.where is None
    return simple and rows.x.dtype in NARROW and rows.sum_dtype is torch.float32 and not rows.options.inplace


def _doubtful(loss: Array) -> Array:
    """The rows whose loss is not finite or too close to the kernel's error, as indices; None if there are none."""
    least, most = torch.aminmax(loss) if loss.numel() else (loss.sum() + 1, loss.sum() + 1)
    if least.item() >= SMALLEST and most.item() < math.inf:
        return None
    return (~((loss >= SMALLEST) & (loss < math.inf))).nonzero()[:, 0]


def _inputs(rows: Rows) -> tuple[Array, Array]:
    """(z, y) in float64; an ignored row is a row of zeros, so that nothing of it reaches the gradient."""
    z = rows.x.double()
    if rows.live is None:
        return z, rows.y
    return torch.where(rows.live[:, None], z, 0.0), torch.where(rows.live, rows.y, 0)


def _weigh(part: Array, rows: Rows) -> Array:
    """The loss or the gradient of each row, 0 where ignored, times the sample weights."""
    column = (slice(None), None) if part.ndim > 1 else slice(None)
    part = part if rows.live is None else torch.where(rows.live[column], part, 0.0)
    return part if rows.sample_weight is None else part * rows.sample_weight[column]


def cross_entropy(rows: Rows) -> tuple[Array, Array]:
    """(loss of each row in float64, doubtful rows or None), for rows (N, C).

    A doubtful row is made a row of zeros too; its loss is to be replaced.
    """
    z, y = _inputs(rows)
    loss = F.cross_entropy(z, y, reduction="none", label_smoothing=rows.options.label_smoothing)
    doubtful = _doubtful(loss.detach())
    if doubtful is not None:
        z = z.index_fill(0, doubtful, 0.0)
        loss = F.cross_entropy(z, y, reduction="none", label_smoothing=rows.options.label_smoothing)
    return _weigh(loss, rows), doubtful


def cross_entropy_with_gradient(rows: Rows) -> tuple[Array, Array, Array]:
    """(loss of each row, its derivative by x, doubtful rows or None) in float64, for rows (N, C)."""
    z, y = _inputs(rows)
    smoothing, at = rows.options.label_smoothing, y[:, None]
    if smoothing:
        log_p = torch.log_softmax(z.detach(), -1)
        loss = (smoothing - 1) * log_p.gather(1, at)[:, 0] - smoothing / z.shape[1] * log_p.sum(1)
        gradient = log_p.exp_() - smoothing / z.shape[1]
    else:  # one exponential an element
        gradient = torch.softmax(z.detach(), -1)
        loss = -gradient.gather(1, at)[:, 0].log()  # crossent: ignore[X019]
    gradient.scatter_add_(1, at, torch.full_like(at, smoothing - 1, dtype=z.dtype))
    return _weigh(loss, rows), _weigh(gradient, rows), _doubtful(loss)


def serves_binary(call: Elements) -> bool:
    """Whether the call is plain: no pos_weight, a narrow dtype."""
    asked = call.options.asked <= TAKES_OF_ELEMENTS
    return asked and call.x.dtype in NARROW and call.y.dtype is torch.float32


def binary_cross_entropy_with_logits(call: Elements, *, gradient: bool = False) -> Any:
    """The loss of each element in float64, y·softplus(−x) + (1 − y)·softplus(x).

    With `gradient` a pair: the loss and its derivative by x, (1 − y)·σ(x) − y·σ(−x).
    """
    x, y, smoothing = call.x.double(), call.y.double(), call.options.label_smoothing
    y = y if smoothing == 0 else (1 - smoothing) * y + smoothing / 2
    rest, up, down = 1 - y, F.softplus(x), F.softplus(-x)
    loss = y * down + rest * up
    if not math.isfinite(loss.detach().sum().item()):  # 0·∞ is 0
        loss = torch.where(y == 0, 0.0, y * down) + torch.where(rest == 0, 0.0, rest * up)
    loss = loss if call.weight is None else loss * call.weight
    if not gradient:
        return loss
    slope = rest * torch.sigmoid(x) - y * torch.sigmoid(-x)
    return loss, slope if call.weight is None else slope * call.weight
