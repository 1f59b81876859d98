"""The functions of a row that everything else is made of, from the definition, without told derivatives.

What NumPy runs as it is; `_torch.functions` and `_jax` hold the same functions with their derivatives.
"""

from __future__ import annotations

import math
from typing import Any

from . import _definition as definition
from ._definition import Array, namespace


def like(value: Array, z: Array) -> Array:
    """A value computed `wide`, rounded to z's dtype."""
    return namespace(z).astype(value, z.dtype, copy=False)


def softmax(z: Array) -> Array:
    """exp(z − m)/(1 + r); NaN where every logit is −∞."""
    _, _, r, _, _, e = definition.centre(z)
    return like(definition.softmax(r, e), z)


def log_softmax(z: Array) -> Array:
    """(z − m) − log1p(r); NaN where every logit is −∞."""
    xp = namespace(z)
    _, _, r, _, d, _ = definition.centre(z)
    return like(d - xp.where(r == -1, math.nan, xp.log1p(r))[..., None], z)


def logsumexp(z: Array) -> Array:
    """log Σ exp(z) of each row; −∞ where every logit is −∞, +∞ where one is +∞."""
    a, m, r, _, _, _ = definition.centre(z)
    return like(definition.lse(definition.RowStats(m, r, None, None, a)), z)


def signed_logsumexp(z: Array, b: Array) -> tuple[Array, Array]:
    """(log |S|, sign of S) of each row's S = Σ b·exp(z); what has b = 0 counts for nothing, whatever its z.

    All is relative to the largest term, as in `logsumexp`: log |S| = z + log |b| there, and log1p of the others.
    """
    xp = namespace(z)
    counts, below = b != 0, b < 0
    size = xp.log(xp.where(counts, xp.abs(b), 1.0))
    whole = xp.where(counts, z + size, -math.inf)
    top = definition.class_mask(xp.argmax(whole, axis=-1), z)
    m, at, size_at = (xp.sum(xp.where(top, part, 0.0), axis=-1) for part in (whole, z, size))
    e = xp.exp((z - at[..., None]) + (size - size_at[..., None]))
    e = xp.where(top | ~counts, 0.0, xp.where(below, -e, e))
    one = xp.ones_like(m)
    turn = xp.where(xp.any(top & below, axis=-1), -one, one)
    r = turn * xp.sum(e, axis=-1)
    value = m + xp.where(r > -1, xp.log1p(xp.where(r > -1, r, 0.0)), xp.log(xp.abs(1 + r)))
    sign = turn * xp.where(r > -1, one, xp.where(r == -1, 0.0, -one))
    both = xp.any((whole == math.inf) & below, axis=-1) & xp.any((whole == math.inf) & ~below, axis=-1)
    bad = both | xp.isnan(m)
    infinite = (m == math.inf) | (m == -math.inf)
    value = xp.where(bad, math.nan, xp.where(infinite, m, value))
    return value, xp.where(bad, math.nan, xp.where(m == -math.inf, 0.0, xp.where(infinite, turn, sign)))


def weighted_logsumexp(z: Array, b: Array) -> Array:
    """log |Σ b·exp(z)| of each row."""
    return signed_logsumexp(z, b)[0]


def weighted_slopes(z: Array, b: Array, value: Array) -> tuple[Array, Array]:
    """The derivatives of weighted_logsumexp, whose value is given, by z and by b: b·exp(z)/S and exp(z)/S.

    The root is taken before the product, so that a small b beside a large exp(z) does not overflow.
    """
    xp = namespace(z)
    sign = signed_logsumexp(z, b)[1][..., None]
    root = xp.exp((z - value[..., None]) / 2)
    root = xp.where((b == 0) & ~xp.isfinite(root), 0.0, root)
    return sign * (b * root) * root, sign * root * root


def row_loss(z: Array, q: Array) -> Array:
    """The cross-entropy of each row."""
    return like(definition.loss(definition.row_stats(z, q)), z)


def binary_loss(x: Array, positive: Array, negative: Array) -> Array:
    """The cross-entropy of each element as a row of two classes."""
    return like(definition.loss(definition.binary_row_stats(x, positive, negative)), x)


def softmax_gradient(z: Array, g: Array) -> Array:
    """p·(g − ⟨p, g⟩), p = softmax(z)."""
    _, _, r, _, _, e = definition.centre(z)
    return like(definition.softmax_gradient(definition.softmax(r, e), g), z)


def entropy(z: Array) -> Array:
    """−Σ p·log p of each row."""
    return like(definition.entropy(definition.row_stats(z, namespace(z).zeros_like(z), moment=True)), z)


def entropy_gradient(z: Array) -> Array:
    """d entropy/dz = −p·(d − Σ p·d), d = z − m: softmax's own gradient along d, turned round."""
    _, _, r, _, d, e = definition.centre(z)
    d = namespace(z).where(d == -math.inf, 0.0, d)
    return -like(definition.softmax_gradient(definition.softmax(r, e), d), z)


def confidence(z: Array) -> Array:
    """The probability of each row's most probable class."""
    a, m, r, _, _, _ = definition.centre(z)
    return like(definition.confidence(definition.RowStats(m, r, None, None, a)), z)


def confidence_gradient(z: Array) -> Array:
    """d confidence/dz: softmax's gradient at the class itself."""
    _, _, r, top, _, e = definition.centre(z)
    return like(definition.softmax_gradient(definition.softmax(r, e), namespace(z).astype(top, e.dtype)), z)


def moments(z: Array) -> tuple[Array, Array, Array, Array]:
    """(lse, entropy, argmax, confidence) of each row, from one set of statistics."""
    s = definition.row_stats(z, namespace(z).zeros_like(z), moment=True)
    return like(definition.lse(s), z), like(definition.entropy(s), z), s.a, like(definition.confidence(s), z)


def moments_of(z: Array, logsumexp: Any, entropy: Any, confidence: Any) -> tuple[Array, Array, Array, Array]:
    """The same from functions with told derivatives, for libraries that differentiate."""
    return logsumexp(z), entropy(z), namespace(z).argmax(z, axis=-1), confidence(z)
