"""The functions of a row that everything else is made of, from the definition, without told derivatives.

What NumPy runs as it is; `_torch.functions` and `_jax` hold the same functions with their derivatives.
"""

from __future__ import annotations

import math
from typing import Any

from . import _definition as definition
from ._definition import Array, namespace


def softmax(z: Array) -> Array:
    """exp(z − m)/(1 + r); NaN where every logit is −∞."""
    xp = namespace(z)
    _, _, r, _, _, e = definition.centre(z)
    return e / xp.where(r == -1, math.nan, 1 + r)[..., None]


def log_softmax(z: Array) -> Array:
    """(z − m) − log1p(r); NaN where every logit is −∞."""
    xp = namespace(z)
    _, _, r, _, d, _ = definition.centre(z)
    return d - xp.where(r == -1, math.nan, xp.log1p(r))[..., None]


def logsumexp(z: Array) -> Array:
    """log Σ exp(z) of each row; −∞ where every logit is −∞, +∞ where one is +∞."""
    a, m, r, _, _, _ = definition.centre(z)
    return definition.lse(definition.RowStats(m, r, None, None, a))


def row_loss(z: Array, q: Array) -> Array:
    """The cross-entropy of each row."""
    return definition.loss(definition.row_stats(z, q))


def binary_loss(x: Array, positive: Array, negative: Array) -> Array:
    """The cross-entropy of each element as a row of two classes."""
    return definition.loss(definition.binary_row_stats(x, positive, negative))


def moments(z: Array) -> tuple[Array, Array, Array, Array]:
    """(lse, entropy, argmax, confidence) of each row, from one set of statistics."""
    s = definition.row_stats(z, namespace(z).zeros_like(z), moment=True)
    return definition.lse(s), definition.entropy(s), s.a, definition.confidence(s)


def moments_of(z: Array, softmax: Any, log_softmax: Any, logsumexp: Any) -> tuple[Array, Array, Array, Array]:
    """The same from functions with told derivatives, for libraries that differentiate."""
    xp = namespace(z)
    p, a = softmax(z), xp.argmax(z, axis=-1)
    entropy = -xp.sum(definition.product(p, log_softmax(z)), axis=-1)
    return logsumexp(z), entropy, a, xp.take_along_axis(p, a[..., None], axis=-1)[..., 0]
