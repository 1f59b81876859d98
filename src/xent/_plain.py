"""The functions of a row that everything else is made of, from the definition, without told derivatives.

What NumPy runs as it is; `_autograd` and `backends.jax_rules` hold the same functions with their derivatives.
"""

from __future__ import annotations

import math

from . import _definition as definition
from ._definition import Array, namespace


def softmax(z: Array) -> Array:
    """exp(z − m)/(1 + r); NaN where every logit is −∞."""
    xp = namespace(z)
    _, _, _, d, r = definition.centre(z)
    return xp.exp(d) / xp.where(r == -1, math.nan, 1 + r)[..., None]


def log_softmax(z: Array) -> Array:
    """(z − m) − log1p(r); NaN where every logit is −∞."""
    xp = namespace(z)
    _, _, _, d, r = definition.centre(z)
    return d - xp.where(r == -1, math.nan, xp.log1p(r))[..., None]


def logsumexp(z: Array) -> Array:
    """Log Σ exp(z) of each row; −∞ where every logit is −∞, +∞ where one is +∞."""
    a, _, m, _, r = definition.centre(z)
    return definition.lse(definition.RowStats(m, r, 0 * m, 0 * m, a))


def row_loss(z: Array, q: Array) -> Array:
    """The cross-entropy of each row."""
    return definition.loss(definition.row_stats(z, q))


def binary_loss(x: Array, positive: Array, negative: Array) -> Array:
    """The cross-entropy of each element as a row of two classes."""
    return definition.loss(definition.binary_row_stats(x, positive, negative))
