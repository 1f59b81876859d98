"""What JAX's autodiff needs to know: the definition's functions with their derivatives in the accurate form.

One rule a function serves jax.grad, jvp, vmap, jit and hessian: JAX transposes the forward derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from .. import _definition as definition
from .. import _functions
from .._definition import Array

row_loss = jax.custom_jvp(_functions.row_loss)
logsumexp = jax.custom_jvp(_functions.logsumexp)
weighted_logsumexp = jax.custom_jvp(_functions.weighted_logsumexp)
softmax = jax.custom_jvp(_functions.softmax)
log_softmax = jax.custom_jvp(_functions.log_softmax)
entropy = jax.custom_jvp(_functions.entropy)
confidence = jax.custom_jvp(_functions.confidence)
log_sum_sq_probs = jax.custom_jvp(_functions.log_sum_sq_probs)
binary_loss = jax.custom_jvp(_functions.binary_loss)
tanh = jax.custom_jvp(_functions.tanh)
constant = jax.lax.stop_gradient


def _sum_of(*terms: tuple[Any, Callable[[], Array]]) -> Array:
    """Σ factor·tangent over the inputs that are differentiated; the factors of the others are not formed."""
    return sum(factor() * tangent for tangent, factor in terms if not isinstance(tangent, SymbolicZero))


def _row_loss(at: Any, along: Any) -> tuple[Array, Array]:
    """⟨w·softmax(z) − q, dz⟩ + ⟨lse − z, dq⟩."""
    z, q = at
    terms = (along[0], lambda: definition.gradient(z, q)), (along[1], lambda: -_functions.log_softmax(z))
    return row_loss(z, q), jnp.sum(_sum_of(*terms), -1)


def _logsumexp(at: Any, along: Any) -> tuple[Array, Array]:
    """⟨softmax(z), dz⟩."""
    return logsumexp(*at), jnp.sum(_functions.softmax(*at) * along[0], -1)


def _weighted_logsumexp(at: Any, along: Any) -> tuple[Array, Array]:
    """⟨b·exp(z)/S, dz⟩ + ⟨exp(z)/S, db⟩."""
    value = weighted_logsumexp(*at)
    by_z, by_b = _functions.weighted_slopes(at[0], at[1], value)
    return value, jnp.sum(_sum_of((along[0], lambda: by_z), (along[1], lambda: by_b)), -1)


def _tangent(z: Array, dz: Array) -> Array:
    """dz, less its value at the maximum where that has more than half of the probability.

    Softmax does not see the shift, and no 1 − p is formed, neither here nor in the transposed derivative.
    """
    _, _, r, top, _, _ = definition.centre(z)
    at_top = jnp.sum(jnp.where(top, dz, 0.0), -1, keepdims=True)
    return jnp.where((r < 1)[..., None], jnp.where(top, 0.0, dz - at_top), dz)


def _softmax(at: Any, along: Any) -> tuple[Array, Array]:
    """p·(dz − ⟨p, dz⟩)."""
    p = softmax(*at)
    return p, _functions.pull(p, along[0])


def _entropy(at: Any, along: Any) -> tuple[Array, Array]:
    """⟨−p·(d − ⟨p, d⟩), dz⟩, d = z − m."""
    return entropy(*at), jnp.sum(_functions.entropy_gradient(*at) * along[0], -1)


def _confidence(at: Any, along: Any) -> tuple[Array, Array]:
    """⟨softmax's gradient at the most probable class, dz⟩."""
    return confidence(*at), jnp.sum(_functions.confidence_gradient(*at) * along[0], -1)


def _log_sum_sq_probs(at: Any, along: Any) -> tuple[Array, Array]:
    """⟨softmax's gradient along 2p/Σp², dz⟩."""
    return log_sum_sq_probs(*at), jnp.sum(_functions.log_sum_sq_gradient(*at) * along[0], -1)


def _log_softmax(at: Any, along: Any) -> tuple[Array, Array]:
    """dz − ⟨softmax(z), dz⟩."""
    p, dz = _functions.softmax(*at), _tangent(at[0], along[0])
    return log_softmax(*at), dz - jnp.sum(p * dz, -1, keepdims=True)


def _binary_loss(at: Any, along: Any) -> tuple[Array, Array]:
    """(negative·σ(x) − positive·σ(−x))·dx, and the losses of the two classes for the targets."""
    x, one, zero = at[0], jnp.ones_like(at[0]), jnp.zeros_like(at[0])
    factors = (
        lambda: _functions.binary_gradient(*at),
        lambda: _functions.binary_loss(x, one, zero),
        lambda: _functions.binary_loss(x, zero, one),
    )
    return binary_loss(*at), _sum_of(*zip(along, factors, strict=True))


def _tanh(at: Any, along: Any) -> tuple[Array, Array]:
    """(1 − tanh²)·dx in the form that does not cancel."""
    return tanh(*at), _functions.tanh_slope(*at) * along[0]


def moments(z: Array) -> tuple[Array, Array, Array, Array]:
    """See crossent._functions.moments."""
    return _functions.moments_of(z, logsumexp, entropy, confidence)


row_loss.defjvp(_row_loss, symbolic_zeros=True)
logsumexp.defjvp(_logsumexp)
weighted_logsumexp.defjvp(_weighted_logsumexp, symbolic_zeros=True)
softmax.defjvp(_softmax)
log_softmax.defjvp(_log_softmax)
entropy.defjvp(_entropy)
tanh.defjvp(_tanh)
confidence.defjvp(_confidence)
log_sum_sq_probs.defjvp(_log_sum_sq_probs)
binary_loss.defjvp(_binary_loss, symbolic_zeros=True)
