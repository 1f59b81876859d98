"""The room that always works: the definition, run by the array library that the caller brought.

`rules` is a module with row_loss, logsumexp, softmax, log_softmax and binary_loss: the plain ones, or the same
functions with their derivatives told to an autodiff library (torch: `_torch.functions`, JAX: `_jax`).
"""

from __future__ import annotations

import math
from typing import Any

from .. import _definition as definition
from .. import _functions
from .._call.options import Binary, Options, Rows
from .._definition import Array, class_mask, namespace, product


def capped(x: Array, options: Options) -> Array:
    """softcap·tanh(x/softcap)/temperature."""
    x = x if options.softcap is None else options.softcap * namespace(x).tanh(x / options.softcap)
    return x if options.temperature == 1 else x / options.temperature


def slope(x: Array, options: Options) -> Array | float:
    """The derivative of `capped`."""
    if options.softcap is None:
        return 1 / options.temperature
    return (1 - namespace(x).tanh(x / options.softcap) ** 2) / options.temperature


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


def logits(x: Array, rows: Rows) -> Array:
    """z of such inputs: capped, then −∞ for the classes that do not exist."""
    z = capped(x, rows.options)
    return z if rows.where is None else namespace(z).where(rows.where, z, -math.inf)


def softmax(rows: Rows, rules: Any) -> Array:
    """exp(z − m)/(1 + r) of rows without a target, in the dtype of the sums."""
    result: Array = rules.softmax(logits(inputs(rows), rows))
    return result


def log_softmax(rows: Rows, rules: Any) -> Array:
    """(z − m) − log1p(r)."""
    result: Array = rules.log_softmax(logits(inputs(rows), rows))
    return result


def logsumexp(rows: Rows, rules: Any) -> Array:
    """m + log1p(r) of each row."""
    result: Array = rules.logsumexp(logits(inputs(rows), rows))
    return result


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


def z_squared(rows: Rows, z: Array, rules: Any) -> Array:
    """sample_weight·lse² of each row that counts, or None without z-loss."""
    if rows.options.z_loss == 0:
        return None
    xp = namespace(z)
    square = rules.logsumexp(z) ** 2
    square = square if rows.live is None else xp.where(rows.live, square, 0.0)
    return square if rows.sample_weight is None else square * rows.sample_weight


def cross_entropy(rows: Rows, rules: Any) -> tuple[Array, Array]:
    """(loss, lse² or None) of each row, in the dtype of the sums."""
    z = logits(inputs(rows), rows)
    return rules.row_loss(z, target(rows, plain_target(rows, z))), z_squared(rows, z, rules)


def cross_entropy_with_gradient(rows: Rows, scales: Any) -> tuple[Array, Array, Array]:
    """(loss, lse² or None) of each row, and d/dx of their sum scaled by `scales(rows, loss)`, in x's dtype."""
    xp = namespace(rows.x)
    x = inputs(rows)
    z = logits(x, rows)
    q = target(rows, plain_target(rows, z))
    seen = definition.centre(z)
    loss, square = definition.loss(definition.row_stats(z, q, seen)), z_squared(rows, z, _functions)
    loss_scale, z_scale = scales(rows, loss)
    result = definition.gradient(z, q, seen) * loss_scale
    if square is not None:
        result = result + (z_scale * _square_slope(rows, z))[..., None] * _functions.softmax(z)
    if rows.options.softcap is not None or rows.options.temperature != 1:
        result = result * slope(x, rows.options)
    result = result if rows.live is None else xp.where(rows.live[..., None], result, 0.0)
    result = result if rows.where is None else xp.where(rows.where, result, 0.0)
    return loss, square, xp.astype(result, rows.x.dtype, copy=False)


def _square_slope(rows: Rows, z: Array) -> Array:
    """2·sample_weight·lse: what the softmax is multiplied by in the gradient of `z_squared`."""
    factor = 2 * _functions.logsumexp(z)
    return factor if rows.sample_weight is None else factor * rows.sample_weight


def moments(rows: Rows, rules: Any) -> tuple[Array, Array, Array, Array]:
    """(lse, entropy, argmax, confidence) of each row, ignored ones too: they depend on the logits alone."""
    result: tuple[Array, Array, Array, Array] = rules.moments(logits(inputs(rows, every_row=True), rows))
    return result


def target_losses(rows: Rows, rules: Any) -> tuple[Array, Array]:
    """(loss, log-probability of the target as given) of each row."""
    z = logits(inputs(rows), rows)
    q = plain_target(rows, z)
    loss, square = rules.row_loss(z, target(rows, q)), z_squared(rows, z, rules)
    as_given = z if rows.sample_weight is None else logits(inputs(rows._replace(sample_weight=None)), rows)
    return loss if square is None else loss + rows.options.z_loss * square, -rules.row_loss(as_given, q)


def nll(rows: Rows) -> Array:
    """−⟨q, log p⟩ of each row, for log-probabilities in the place of logits."""
    log_p = inputs(rows)
    return -namespace(log_p).sum(product(target(rows, plain_target(rows, log_p)), log_p), axis=-1)


def _two_classes(y: Array, weight: Array, pos_weight: Array, smoothing: float) -> tuple[Array, Array]:
    """q = (positive, negative) of each element: the target, smoothed, then weighted."""
    y = y if smoothing == 0 else (1 - smoothing) * y + smoothing / 2
    positive, negative = y if pos_weight is None else y * pos_weight, 1 - y
    return (positive, negative) if weight is None else (positive * weight, negative * weight)


def _binary_parts(b: Binary) -> tuple[Array, Array, Array]:
    """(z, positive, negative) of each element, in y's dtype, that of the sums."""
    xp = namespace(b.x)
    z = capped(xp.astype(b.x, b.y.dtype, copy=False), b.options)
    q = _two_classes(b.y, b.weight, b.pos_weight, b.options.label_smoothing)
    positive, negative = (part if part.shape == z.shape else xp.broadcast_to(part, z.shape) for part in q)
    return z, positive, negative


def binary_cross_entropy_with_logits(b: Binary, rules: Any) -> Array:
    """The loss of each element."""
    result: Array = rules.binary_loss(*_binary_parts(b))
    return result


def binary_cross_entropy_with_gradient(b: Binary, *, wanted: bool = True) -> tuple[Array, Array]:
    """The loss of each element and, if wanted, its derivative by x, in the dtype of the sums."""
    z, positive, negative = _binary_parts(b)
    if not wanted:
        return _functions.binary_loss(z, positive, negative), None
    result = definition.binary_gradient(z, positive, negative)
    if b.options.softcap is not None or b.options.temperature != 1:
        result = result * slope(namespace(z).astype(b.x, z.dtype, copy=False), b.options)
    return _functions.binary_loss(z, positive, negative), result


LOWEST = math.exp(-100)  # torch holds log p above −100: a smaller probability is a rounded one
STEEPEST = 1e12  # and its derivative below this


def _held_log(p: Array, log_p: Array) -> Array:
    """log p down to −100; below, the line that still tells the gradient where to go."""
    return namespace(p).where(p > LOWEST, log_p, STEEPEST * p - 100.0)


def binary_cross_entropy(b: Binary) -> Array:
    """The loss of each element, from probabilities."""
    xp = namespace(b.x)
    p = xp.astype(b.x, b.y.dtype, copy=False)
    positive, negative = _two_classes(b.y, b.weight, b.pos_weight, b.options.label_smoothing)
    log_p = xp.log(xp.where(p > LOWEST, p, 1.0))
    log_rest = xp.log1p(-xp.where(p < 1, p, 0.0))
    return -positive * _held_log(p, log_p) - negative * _held_log(1 - p, log_rest)
