"""The functions of a row that everything else is made of, from the definition, without told derivatives.

What NumPy runs as it is; `_torch.functions` and `_jax` hold the same functions with their derivatives.
"""

from __future__ import annotations

import math
from typing import Any

from . import _definition as definition
from ._definition import Array, RowStats, namespace, product, wide


def like(value: Array, z: Array) -> Array:
    """A value computed `wide`, rounded to z's dtype."""
    return namespace(z).astype(value, z.dtype, copy=False)


def shares(r: Array, e: Array) -> Array:
    """exp(z − m)/(1 + r), `wide`; NaN where every logit is −∞."""
    return e / namespace(e).where(r == -1, math.nan, 1 + r)[..., None]


def pull(p: Array, g: Array) -> Array:
    """p·(g − ⟨p, g⟩): the derivative of ⟨g, softmax(z)⟩ by z, from p = softmax(z); the Jacobian is symmetric.

    softmax does not see a shift, so g may be taken less any c: its value at the class that has more than half of the
    mass, else its mean. Then no 1 − p is formed, and what all of g has in common does not cancel. The last term is
    zero but for rounding; it makes the whole its own transpose, in which a library's autodiff finds the same care.
    """
    xp = namespace(p)
    p, g = wide(p), wide(g)
    heavy = xp.where(xp.max(p, axis=-1, keepdims=True) > 0.5, xp.astype(p > 0.5, p.dtype), p)
    h = g - xp.sum(product(heavy, g), axis=-1, keepdims=True)
    slope = p * (h - xp.sum(product(p, h), axis=-1, keepdims=True))
    return slope - heavy * xp.sum(slope, axis=-1, keepdims=True)


def tanh_slope(x: Array) -> Array:
    """1 − tanh²(x) = 4e/(1 + e)² for e = exp(−2|x|): nothing cancels where tanh rounds to 1."""
    xp = namespace(x)
    e = xp.exp(2 * xp.where(x > 0, -x, x))  # with the derivatives of one side at 0
    return 4 * e / (1 + e) ** 2


def binary_row_stats(x: Array, positive: Array, negative: Array) -> RowStats:
    """The statistics of the two-class rows with logits (x, 0) and q = (positive, negative), element by element."""
    xp = namespace(x)
    x, positive, negative = wide(x), wide(positive), wide(negative)
    low = xp.where(x > 0, -x, x)  # −|x|, with the derivative of one side at 0
    t = product(xp.where(x > 0, negative, positive), low)
    a = xp.astype(x <= 0, xp.int32)
    return RowStats(xp.where(x > 0, x, 0.0), xp.exp(low), t, positive + negative, a)


def binary_gradient(x: Array, positive: Array, negative: Array) -> Array:
    """d loss/dx = negative·σ(x) − positive·σ(−x), `wide`, for the logits (x, 0); the limits at ±∞ are exact.

    Near x = 0 the two terms cancel; there their common part is taken out: with e = exp(−|x|) the numerator is
    (negative − positive) ± (the part that e multiplies)·(e − 1).
    """
    xp = namespace(x)
    x, positive, negative = wide(x), wide(positive), wide(negative)
    low = xp.where(x > 0, -x, x)
    e, less = xp.exp(low), xp.expm1(low)
    direct = negative * xp.where(x > 0, 1.0, e) - positive * xp.where(x > 0, e, 1.0)
    near = (negative - positive) + xp.where(x > 0, -positive, negative) * less
    return xp.where(e > 0.5, near, direct) / (1 + e)


def constant(x: Array) -> Array:
    """x itself: here nothing is differentiated."""
    return x


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return namespace(x).tanh(x)


def softmax(z: Array) -> Array:
    """exp(z − m)/(1 + r); NaN where every logit is −∞."""
    _, _, r, _, _, e = definition.centre(z)
    return like(shares(r, e), z)


def log_softmax(z: Array) -> Array:
    """(z − m) − log1p(r); NaN where every logit is −∞."""
    xp = namespace(z)
    _, _, r, _, d, _ = definition.centre(z)
    return like(d - xp.where(r == -1, math.nan, xp.log1p(r))[..., None], z)


def logsumexp(z: Array) -> Array:
    """log Σ exp(z) of each row; −∞ where every logit is −∞, +∞ where one is +∞."""
    a, m, r, _, _, _ = definition.centre(z)
    return like(definition.lse(RowStats(m, r, None, None, a)), z)


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
    return like(definition.loss(binary_row_stats(x, positive, negative)), x)


def softmax_gradient(z: Array, g: Array) -> Array:
    """p·(g − ⟨p, g⟩), p = softmax(z)."""
    _, _, r, _, _, e = definition.centre(z)
    return like(pull(shares(r, e), g), z)


def entropy(z: Array) -> Array:
    """−Σ p·log p of each row."""
    return like(definition.entropy(definition.row_stats(z, namespace(z).zeros_like(z), moment=True)), z)


def entropy_gradient(z: Array) -> Array:
    """d entropy/dz = −p·(d − Σ p·d), d = z − m: softmax's own gradient along d, turned round."""
    _, _, r, _, d, e = definition.centre(z)
    d = namespace(z).where(d == -math.inf, 0.0, d)
    return -like(pull(shares(r, e), d), z)


def confidence(z: Array) -> Array:
    """The probability of each row's most probable class."""
    a, m, r, _, _, _ = definition.centre(z)
    return like(definition.confidence(RowStats(m, r, None, None, a)), z)


def confidence_gradient(z: Array) -> Array:
    """d confidence/dz: softmax's gradient at the class itself."""
    _, _, r, top, _, e = definition.centre(z)
    return like(pull(shares(r, e), namespace(z).astype(top, e.dtype)), z)


def log_sum_sq_probs(z: Array) -> Array:
    """log Σ p² of each row: log1p of the others' squares less twice log1p of the others, relative to the maximum."""
    xp = namespace(z)
    _, _, r, top, _, e = definition.centre(z)
    squares = xp.sum(xp.where(top, 0.0, e * e), axis=-1)
    return like(xp.where(r == -1, math.nan, xp.log1p(squares) - 2 * xp.log1p(r)), z)


def log_sum_sq_gradient(z: Array) -> Array:
    """d log Σ p²/dz: softmax's gradient along 2p/Σp²."""
    xp = namespace(z)
    _, _, r, _, _, e = definition.centre(z)
    p = shares(r, e)
    return like(pull(p, 2 * p / xp.sum(p * p, axis=-1, keepdims=True)), z)


def moments(z: Array) -> tuple[Array, Array, Array, Array]:
    """(lse, entropy, argmax, confidence) of each row, from one set of statistics."""
    s = definition.row_stats(z, namespace(z).zeros_like(z), moment=True)
    return like(definition.lse(s), z), like(definition.entropy(s), z), s.a, like(definition.confidence(s), z)


def moments_of(z: Array, logsumexp: Any, entropy: Any, confidence: Any) -> tuple[Array, Array, Array, Array]:
    """The same from functions with told derivatives, for libraries that differentiate."""
    return logsumexp(z), entropy(z), namespace(z).argmax(z, axis=-1), confidence(z)
