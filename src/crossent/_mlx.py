"""The definition's functions with their derivatives in the accurate form, as MLX's autodiff takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx

from . import _definition as definition
from . import _functions
from ._definition import Array


def _told(function: Callable[..., Array], slopes: Callable[..., tuple[Array, ...]]) -> Callable[..., Array]:
    """A function of one or more arrays whose derivative, times a cotangent, is told."""
    made: Any = mx.custom_function(function)

    def rule(at: Any, g: Array, _value: Array) -> Any:
        parts = slopes(g, *(at if isinstance(at, (tuple, list)) else (at,)))
        return parts if isinstance(at, (tuple, list)) else parts[0]

    made.vjp(rule)
    own: Callable[..., Array] = made
    return own


def _log_softmax_slope(g: Array, z: Array) -> tuple[Array]:
    """g − softmax(z)·Σg: the loss's own gradient for the targets −g."""
    return (-definition.gradient(z, g),)


def _row_loss_slopes(g: Array, z: Array, q: Array) -> tuple[Array, Array]:
    """w·softmax(z) − q and −log softmax(z)."""
    each = g[..., None]
    return each * definition.gradient(z, q), definition.product(-each, _functions.log_softmax(z))


def _weighted_slopes(g: Array, z: Array, b: Array) -> tuple[Array, Array]:
    """See _functions.weighted_slopes."""
    by_z, by_b = _functions.weighted_slopes(z, b, _functions.weighted_logsumexp(z, b))
    return g[..., None] * by_z, g[..., None] * by_b


def _binary_slopes(g: Array, x: Array, positive: Array, negative: Array) -> tuple[Array, ...]:
    """negative·σ(x) − positive·σ(−x), and the losses of the two classes for the targets."""
    one, zero = mx.ones_like(x), mx.zeros_like(x)
    by_x = _functions.binary_gradient(x, positive, negative)
    return g * by_x, g * _functions.binary_loss(x, one, zero), g * _functions.binary_loss(x, zero, one)


row_loss = _told(_functions.row_loss, _row_loss_slopes)
logsumexp = _told(_functions.logsumexp, lambda g, z: (g[..., None] * _functions.softmax(z),))
weighted_logsumexp = _told(_functions.weighted_logsumexp, _weighted_slopes)
softmax = _told(_functions.softmax, lambda g, z: (_functions.softmax_gradient(z, g),))
log_softmax = _told(_functions.log_softmax, _log_softmax_slope)
entropy = _told(_functions.entropy, lambda g, z: (g[..., None] * _functions.entropy_gradient(z),))
confidence = _told(_functions.confidence, lambda g, z: (g[..., None] * _functions.confidence_gradient(z),))
log_sum_sq_probs = _told(_functions.log_sum_sq_probs, lambda g, z: (g[..., None] * _functions.log_sum_sq_gradient(z),))
binary_loss = _told(_functions.binary_loss, _binary_slopes)
tanh = _told(_functions.tanh, lambda g, x: (g * _functions.tanh_slope(x),))
constant = mx.stop_gradient


def moments(z: Array) -> tuple[Array, Array, Array, Array]:
    """See crossent._functions.moments."""
    return _functions.moments_of(z, logsumexp, entropy, confidence)
