"""The room that always works: the definition, run by the array library that the caller brought.

`rules` is a module with row_loss, logsumexp, softmax, log_softmax, binary_loss, moments, tanh and constant: the plain
ones, or the same functions with their derivatives told to an autodiff library (torch: `_torch.functions`, JAX: `_jax`).
What comes before them (soft-cap, temperature, targets) is `wide` too; results are in the dtype of the sums.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .. import _definition as definition
from .. import _functions
from .._call.canonical import Elements, Rows
from .._call.options import Options
from .._definition import Array, class_mask, namespace, product, wide
from .._functions import like


def capped(x: Array, options: Options, rules: Any) -> Array:
    """softcap·tanh(x/softcap)."""
    return x if options.softcap is None else options.softcap * rules.tanh(wide(x) / options.softcap)


def slope(x: Array, options: Options) -> Array | float:
    """The derivative of softcap·tanh(x/softcap)/temperature."""
    if options.softcap is None:
        return 1 / options.temperature
    return _functions.tanh_slope(wide(x) / options.softcap) / options.temperature


def inputs(rows: Rows, *, every_row: bool = False) -> Array:
    """x in the dtype of the sums, 0 in place of what does not count: whatever stood there cannot reach the result.

    That is a class that does not exist, an ignored row (unless `every_row`), a non-finite row of sample weight 0.
    """
    xp = namespace(rows.x)
    x = xp.astype(rows.x, rows.sum_dtype, copy=False)
    x = x if rows.where is None else xp.where(rows.where, x, 0.0)
    counts = rows.live
    if rows.sample_weight is not None:
        sound = (rows.sample_weight != 0) | xp.all(xp.isfinite(x), axis=-1)
        counts = sound if counts is None else counts & sound
    return x if counts is None or every_row else xp.where(counts[..., None], x, 0.0)


def logits(x: Array, rows: Rows, rules: Any) -> Array:
    """z of such inputs, but for a shift of the row: capped, −∞ for the classes that do not exist, over the temperature.

    (z − m)/T, since z/T would be rounded before m is subtracted: an offset of all logits would reach the loss.
    """
    z = capped(x, rows.options, rules)
    z = z if rows.where is None else namespace(z).where(rows.where, z, -math.inf)
    return z if rows.options.temperature == 1 else (wide(z) - highest(z, rules)) / rows.options.temperature


def highest(z: Array, rules: Any) -> Array:
    """m of each row, as a number that is not differentiated; 0 where it is infinite."""
    xp = namespace(z)
    m = wide(rules.constant(xp.max(z, axis=-1, keepdims=True)))
    return xp.where(xp.isfinite(m), m, 0.0)


def lse(x: Array, z: Array, rows: Rows, rules: Any) -> Array:
    """log Σ exp of each row from z = logits(x): what temperature has taken off is put back."""
    value = rules.logsumexp(z)
    if rows.options.temperature == 1:
        return value
    return value + offset(x, rows, rules)


def offset(x: Array, rows: Rows, rules: Any) -> Array:
    """What a temperature other than 1 has taken off z = logits(x): m/T of each row."""
    plain = rows._replace(options=dataclasses.replace(rows.options, temperature=1.0))
    return highest(logits(x, plain, rules), rules)[..., 0] / rows.options.temperature


def softmax(rows: Rows, rules: Any) -> Array:
    """exp(z − m)/(1 + r) of rows without a target, in the dtype of the sums."""
    x = inputs(rows)
    return like(rules.softmax(logits(x, rows, rules)), x)


def log_softmax(rows: Rows, rules: Any) -> Array:
    """(z − m) − log1p(r)."""
    x = inputs(rows)
    return like(rules.log_softmax(logits(x, rows, rules)), x)


def logsumexp(rows: Rows, rules: Any) -> Array:
    """m + log1p(r) of each row."""
    x = inputs(rows)
    return like(lse(x, logits(x, rows, rules), rows, rules), x)


def plain_target(rows: Rows, z: Array) -> Array:
    """q before smoothing and weights: one-hot of y, zero where ignored, NaN where y is no class; or the caller's q."""
    xp = namespace(z)
    if rows.q is not None:
        return rows.q
    own = class_mask(rows.y, z)
    if rows.known:
        return xp.astype(own if rows.live is None else own & rows.live[..., None], z.dtype)
    known = (rows.y >= 0) & (rows.y < z.shape[-1])
    known = known if rows.live is None else known | ~rows.live
    other = xp.where(known, xp.zeros_like(z[..., 0]), math.nan)
    hit = 1 + other if rows.live is None else xp.where(rows.live, 1 + other, 0.0)
    return xp.where(own, hit[..., None], other[..., None])


def target(rows: Rows, q: Array) -> Array:
    """q with smoothing over the classes that exist, then class weights, then sample weights."""
    xp = namespace(q)
    smoothing = rows.options.label_smoothing
    if smoothing or rows.weight is not None or rows.sample_weight is not None:
        q = wide(q)
    if smoothing:
        classes: Any = q.shape[-1]
        if rows.where is not None:
            classes = xp.sum(xp.astype(rows.where, q.dtype), axis=-1, keepdims=True)
            classes = xp.where(classes == 0, 1.0, classes)
        even = xp.ones_like(q) * (smoothing / classes)
        even = even if rows.where is None else xp.where(rows.where, even, 0.0)
        even = even if rows.live is None else xp.where(rows.live[..., None], even, 0.0)
        q = (1 - smoothing) * q + even
    q = q if rows.weight is None else product(q, rows.weight)
    return q if rows.sample_weight is None else q * rows.sample_weight[..., None]


def z_squared(rows: Rows, x: Array, z: Array, rules: Any) -> Array:
    """sample_weight·lse² of each row that counts, or None without z-loss."""
    if rows.options.z_loss == 0:
        return None
    xp = namespace(z)
    square = lse(x, wide(z), rows, rules) ** 2
    square = square if rows.live is None else xp.where(rows.live, square, 0.0)
    return like(square if rows.sample_weight is None else square * rows.sample_weight, x)


def cross_entropy(rows: Rows, rules: Any) -> tuple[Array, Array]:
    """(loss, lse² or None) of each row, in the dtype of the sums."""
    x = inputs(rows)
    z = logits(x, rows, rules)
    loss = _losses(rows, z, target(rows, plain_target(rows, z)), rules)
    return like(loss, x), z_squared(rows, x, z, rules)


def _losses(rows: Rows, z: Array, q: Array, rules: Any) -> Array:
    """w·log1p(r) − t, and poly1_epsilon·Σ q·(1 − p) beside it, of each row; 1 − p from log p, exact at p → 1."""
    loss, epsilon = rules.row_loss(z, q), rows.options.poly1_epsilon
    if epsilon == 0:
        return loss
    xp = namespace(z)
    return loss + epsilon * xp.sum(product(q, -xp.expm1(rules.log_softmax(z))), axis=-1)


def cross_entropy_with_gradient(rows: Rows, scales: Any) -> tuple[Array, Array, Array]:
    """(loss, lse² or None) of each row, and d/dx of their sum scaled by `scales(rows, loss)`, in x's dtype."""
    xp = namespace(rows.x)
    x = inputs(rows)
    z = logits(x, rows, _functions)
    q = target(rows, plain_target(rows, z))
    seen = definition.centre(z)
    loss, square = _losses(rows, z, q, _functions), z_squared(rows, x, z, _functions)
    loss_scale, z_scale = scales(rows, loss)
    result = definition.gradient(z, q, seen)
    if rows.options.poly1_epsilon:
        result = result - rows.options.poly1_epsilon * _functions.softmax_gradient(z, q)
    result = result * loss_scale
    if square is not None:
        pull = z_scale * _square_slope(rows, lse(x, z, rows, _functions))
        result = result + pull[..., None] * _functions.shares(seen[2], seen[5])
    if rows.options.softcap is not None or rows.options.temperature != 1:
        result = result * slope(x, rows.options)
    result = result if rows.live is None else xp.where(rows.live[..., None], result, 0.0)
    result = result if rows.where is None else xp.where(rows.where, result, 0.0)
    return like(loss, x), square, xp.astype(result, rows.x.dtype, copy=False)


def _square_slope(rows: Rows, lse: Array) -> Array:
    """2·sample_weight·lse: what the softmax is multiplied by in the gradient of `z_squared`."""
    return 2 * lse if rows.sample_weight is None else 2 * lse * rows.sample_weight


def moments(rows: Rows, rules: Any) -> tuple[Array, Array, Array, Array]:
    """(lse, entropy, argmax, confidence) of each row, ignored ones too: they depend on the logits alone."""
    x = inputs(rows, every_row=True)
    z = logits(x, rows, rules)
    _, entropy, place, confidence = rules.moments(z)
    return like(lse(x, z, rows, rules), x), like(entropy, x), place, like(confidence, x)


def target_losses(rows: Rows, rules: Any) -> tuple[Array, Array]:
    """(loss, log-probability of the target as given) of each row."""
    x = inputs(rows)
    z = logits(x, rows, rules)
    q = plain_target(rows, z)
    loss, square = like(_losses(rows, z, target(rows, q), rules), x), z_squared(rows, x, z, rules)
    plain = rows._replace(sample_weight=None)
    as_given = z if rows.sample_weight is None else logits(inputs(plain), plain, rules)
    log_prob = like(-rules.row_loss(as_given, q), x)
    return loss if square is None else loss + rows.options.z_loss * square, log_prob


def nll(rows: Rows) -> Array:
    """−⟨q, log p⟩ of each row, for log-probabilities in the place of logits."""
    log_p = inputs(rows)
    q = target(rows, plain_target(rows, log_p))
    return like(-namespace(log_p).sum(product(wide(q), log_p), axis=-1), log_p)


def _two_classes(y: Array, weight: Array, pos_weight: Array, smoothing: float) -> tuple[Array, Array]:
    """q = (positive, negative) of each element: the target, smoothed, then weighted; neither is 1 less the other."""
    y = wide(y)
    positive, negative = y, 1 - y
    if smoothing:
        positive, negative = (1 - smoothing) * y + smoothing / 2, (1 - smoothing) * (1 - y) + smoothing / 2
    positive = positive if pos_weight is None else positive * pos_weight
    return (positive, negative) if weight is None else (positive * weight, negative * weight)


def _binary_parts(b: Elements, rules: Any) -> tuple[Array, Array, Array]:
    """(z, positive, negative) of each element, in y's dtype, that of the sums, or wider."""
    xp = namespace(b.x)
    z = capped(xp.astype(b.x, b.y.dtype, copy=False), b.options, rules)
    z = z if b.options.temperature == 1 else wide(z) / b.options.temperature
    q = _two_classes(b.y, b.weight, b.pos_weight, b.options.label_smoothing)
    positive, negative = (part if part.shape == z.shape else xp.broadcast_to(part, z.shape) for part in q)
    return z, positive, negative


def binary_cross_entropy_with_logits(b: Elements, rules: Any) -> Array:
    """The loss of each element."""
    return like(rules.binary_loss(*_binary_parts(b, rules)), b.y)


def binary_cross_entropy_with_gradient(b: Elements, *, wanted: bool = True) -> tuple[Array, Array]:
    """The loss of each element and, if wanted, its derivative by x, in the dtype of the sums."""
    z, positive, negative = _binary_parts(b, _functions)
    loss = like(_functions.binary_loss(z, positive, negative), b.y)
    if not wanted:
        return loss, None
    result = _functions.binary_gradient(z, positive, negative)
    if b.options.softcap is not None or b.options.temperature != 1:
        result = result * slope(namespace(z).astype(b.x, z.dtype, copy=False), b.options)
    return loss, like(result, b.y)


def _focus(rest: Array, gamma: float) -> Array | float:
    """rest^γ, rest = 1 − p; 0 with derivatives of 0 where p = 1, though those of rest^γ alone be infinite for γ < 2."""
    if gamma == 0:
        return 1.0
    xp = namespace(rest)
    return xp.where(rest == 0, 0.0, xp.where(rest == 0, 1.0, rest) ** gamma)


def _weighted(q: Array, loss: Array) -> Array:
    """q·loss with 0·∞ = 0, and loss as the derivative by q where q is 0 too."""
    return q * namespace(q).where((q == 0) & (loss == math.inf), 0.0, loss)


def focal_loss(rows: Rows, rules: Any) -> Array:
    """Σ q·(1 − p)^γ·(−log p) of each row; 1 − p = −expm1(log p), exact at p → 1. Where p = 0 its power is constant."""
    xp = namespace(rows.x)
    x = inputs(rows)
    z = wide(logits(x, rows, rules))
    log_p = rules.log_softmax(z)
    q = target(rows, plain_target(rows, z))
    rest = xp.where(log_p == -math.inf, 1.0, -xp.expm1(xp.where(log_p == -math.inf, -1.0, log_p)))
    return like(xp.sum(_weighted(q, -log_p * _focus(rest, rows.options.gamma)), axis=-1), x)


FAR = 1e4  # beyond it a probability is 0 or 1 in every dtype


def sigmoid_focal_loss(b: Elements, rules: Any) -> Array:
    """α_y·(1 − p_y)^γ·loss of each element; 1 − p_y = y·σ(−x) + (1 − y)·σ(x), each σ the exp of a binary loss."""
    xp = namespace(b.x)
    z, y, other = _binary_parts(b._replace(weight=None), rules)
    z, one, zero = wide(z), xp.ones_like(y), xp.zeros_like(y)
    held = xp.where(z > FAR, FAR, xp.where(z < -FAR, -FAR, z))
    rest = y * xp.exp(-rules.binary_loss(held, zero, one)) + other * xp.exp(-rules.binary_loss(held, one, zero))
    loss = rules.binary_loss(z, y, other) * _focus(rest, b.options.gamma)
    alpha = b.options.alpha
    share = one if alpha is None or alpha < 0 else alpha * y + (1 - alpha) * other
    return like(_weighted(share if b.weight is None else share * b.weight, loss), b.y)


LOWEST = math.exp(-100)  # torch holds log p above −100: a smaller probability is a rounded one
STEEPEST = 1e12  # and its derivative below this


def _held_log(p: Array, log_p: Array) -> Array:
    """log p down to −100; below, the line that still tells the gradient where to go."""
    return namespace(p).where(p > LOWEST, log_p, STEEPEST * p - 100.0)


def binary_cross_entropy(b: Elements) -> Array:
    """The loss of each element, from probabilities."""
    xp = namespace(b.x)
    p = wide(xp.astype(b.x, b.y.dtype, copy=False))
    positive, negative = _two_classes(b.y, b.weight, b.pos_weight, b.options.label_smoothing)
    log_p = xp.log(xp.where(p > LOWEST, p, 1.0))
    log_rest = xp.log1p(-xp.where(p < 1, p, 0.0))
    return like(-positive * _held_log(p, log_p) - negative * _held_log(1 - p, log_rest), b.y)
