"""What rows tell: the statistics that rooms have kernels for, and when more is asked, the extras.

Those are log Σ p², the mean logit, and log-probabilities of chosen or of the top classes: by the definition, in every
library, with derivatives where the library has them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ._call.arrays import is_numpy, is_torch, scalar
from ._call.canonical import ExtraRowStats, Rows, RowStats
from ._definition import Array, namespace, wide
from ._functions import like
from .backends import agnostic
from .backends.room import Functions, Room


class Extras(NamedTuple):
    """(…) each of the first two, (…, k) the others, in the dtype of the sums; None is what was not asked for."""

    log_sum_sq_probs: Array = None
    mean_logits: Array = None
    log_probs: Array = None
    indices: Array = None


NONE = Extras()


def asked(rows: Rows) -> bool:
    """Whether rows are to tell more."""
    return bool(rows.options.extra or rows.options.top_k) or rows.chosen is not None


def selects(rows: Rows) -> bool:
    """Whether nothing but chosen log-probabilities are asked for: those of rows that count."""
    return rows.chosen is not None and not (rows.options.extra or rows.options.top_k)


def extras(rows: Rows, functions: Any) -> Extras:
    """What is asked of rows, by the logits alone: of ignored rows too, but for chosen classes."""
    if not asked(rows):
        return NONE
    x = agnostic.inputs(rows, every_row=not selects(rows))
    z = agnostic.logits(x, rows, functions)
    squares = mean = log_probs = None
    if rows.options.extra:
        squares, mean = like(functions.log_sum_sq_probs(z), x), like(_mean(x, z, rows, functions), x)
    indices = largest(z, rows.options.top_k) if rows.chosen is None and rows.options.top_k else rows.chosen
    if indices is not None:
        log_probs = like(taken(functions.log_softmax(z), indices), x)
    return Extras(squares, mean, log_probs, indices)


def _mean(x: Array, z: Array, rows: Rows, functions: Any) -> Array:
    """The mean of the logits over the classes that exist, from z = logits(x): what temperature has taken off put back.

    As a mean of distances from the maximum, which do not lose what an offset of all logits has in common.
    """
    xp, z = namespace(z), wide(z)
    top = agnostic.highest(z, functions)
    d, many = z - top, z.shape[-1]
    if rows.where is not None:
        d = xp.where(rows.where, d, 0.0)
        count = xp.sum(xp.astype(rows.where, d.dtype), axis=-1)
        many = xp.where(count == 0, math.nan, count)
    mean = xp.sum(d, axis=-1) / many + top[..., 0]
    if rows.options.temperature == 1:
        return mean
    return mean + agnostic.offset(x, rows, functions)


def largest(z: Array, k: int) -> Array:
    """The places (…, k) of each row's largest numbers, in falling order; of equal ones any."""
    xp = namespace(z)
    if is_torch(z):
        return z.detach().topk(k, dim=-1).indices
    if is_numpy(z):
        some = np.argpartition(-z, k - 1, axis=-1)[..., :k]
        order = np.argsort(-np.take_along_axis(z, some, -1), axis=-1, kind="stable")
        return np.take_along_axis(some, order, -1)
    return xp.argsort(z, axis=-1, descending=True, stable=True)[..., :k]


def taken(z: Array, index: Array) -> Array:
    """z at each row's indices (…, K); NaN where an index is no class."""
    xp = namespace(z)
    known = (index >= 0) & (index < z.shape[-1])
    found = xp.take_along_axis(z, xp.where(known, index, xp.zeros_like(index)), axis=-1)
    return xp.where(known, found, math.nan)


def is_top1(rows: Rows, prediction: Array) -> Array:
    """Whether the target's most probable class is the prediction; false where the row is ignored, None without one."""
    if rows.y is None and rows.q is None:
        return None
    xp = namespace(prediction)
    own = rows.y if rows.q is None else xp.argmax(rows.q, axis=-1)
    hit = prediction == xp.astype(own, prediction.dtype, copy=False)
    return hit if rows.live is None else hit & rows.live


def statistics(rows: Rows, room: Room, functions: Functions) -> RowStats | ExtraRowStats:
    """What canonical rows tell; see crossent.row_stats."""
    xp = namespace(rows.x)

    def out(value: Array) -> Array:
        return value if value is None else scalar(xp.astype(value, rows.dtype, copy=False))

    lse, entropy, prediction, confidence = room.moments(rows, functions)
    loss, log_prob = (None, None) if rows.y is None and rows.q is None else room.target_losses(rows, functions)
    told = RowStats(out(loss), out(lse), out(entropy), scalar(prediction), out(confidence), out(log_prob))
    if not asked(rows):
        return told
    *more, indices = extras(rows, functions)
    return with_extras(rows, told, [*map(out, more), indices])


def with_extras(rows: Rows, told: RowStats, more: Any) -> ExtraRowStats:
    """The statistics of rows with what more they tell."""
    squares, mean, log_probs, indices = more
    top1 = is_top1(rows, told.prediction) if rows.options.extra else None
    return ExtraRowStats(*told, squares, mean, top1, log_probs, indices)
