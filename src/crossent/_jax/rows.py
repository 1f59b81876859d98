"""Losses of class indices in JAX: the reduced loss with the gradient formed beside it, by kernels or the definition.

The divisor of a mean is known before the losses are, so the gradient by the logits is final, and rounded once, when it
is formed; what is stored between the passes is the gradient itself. One rule serves jax.grad, jvp, vmap and jit, and
second derivatives go through the definition.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from .. import _jax, _reduction
from .._call.canonical import Rows
from .._call.options import Options
from .._definition import Array
from ..backends import agnostic
from . import kernels
from .kernels import How

TAKES = frozenset(("weight", "ignore_index", "label_smoothing", "sample_weight", "softcap", "temperature"))


def serves(rows: Rows) -> bool:
    """Whether these rows have class indices and options that are taken here."""
    if rows.y is None or rows.where is not None or not rows.options.asked <= TAKES or 0 in rows.x.shape:
        return False
    smoothed_by_class = rows.weight is not None and rows.options.label_smoothing != 0
    return not smoothed_by_class and rows.sum_dtype == (jnp.float64 if rows.x.dtype == jnp.float64 else jnp.float32)


def reduced(rows: Rows) -> Array:
    """The reduced loss of rows that are served."""
    how, weight, divisor = taken(rows, rows.x.shape[:-1])
    if rows.options.reduction == "none":
        return row_losses(rows.x.astype(rows.sum_dtype), rows.y, weight, how).astype(rows.dtype)
    return mean_loss(rows.x, rows.y, weight, divisor, how).astype(rows.dtype)


def with_gradient(rows: Rows) -> tuple[Array, Array]:
    """The reduced loss and its derivative by x, of the sum of the rows for reduction="none"."""
    how, weight, divisor = taken(rows, rows.x.shape[:-1])
    factor = jnp.broadcast_to(_reduction.inverse(divisor), weight.shape)
    loss, gradient = losses_and_gradient(rows.x, rows.y, weight, factor, how)
    if rows.options.reduction != "none":
        loss = _reduction.quotient(jnp.sum(loss), divisor, how.on_empty)
    return loss.astype(rows.dtype), gradient


def taken(rows: Rows, batch: tuple[int, ...]) -> tuple[How, Array, Array]:
    """The options, the weight of each row and the divisor of their sum, 1 for reduction="sum"."""
    options, like = rows.options, jnp.zeros(batch, rows.sum_dtype)
    how = How(
        float(options.label_smoothing),
        float(options.softcap or 0.0),
        float(options.temperature),
        int(options.ignore_index),
        options.on_empty,
    )
    weight = jnp.broadcast_to(_reduction.row_weights(rows, like)[0], like.shape)
    divisor: Any = _reduction.divisors(rows, like)[0] if options.reduction == "mean" else 1.0
    return how, weight, jnp.asarray(divisor, rows.sum_dtype)


# --- the functions and their derivatives ---


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def mean_loss(x: Array, y: Array, weight: Array, divisor: Array, how: How) -> Array:
    """Σ weight·loss/divisor."""
    return _reduction.quotient(jnp.sum(plain_losses(x, y, weight, how)), divisor, how.on_empty)


@functools.partial(mean_loss.defjvp, symbolic_zeros=True)
def _mean_loss(how: How, at: Any, along: Any) -> tuple[Array, Array]:
    """⟨weight·(softmax − q)/divisor, dx⟩ + ⟨loss, dweight⟩/divisor − mean·ddivisor/divisor."""
    (x, y, weight, divisor), (dx, _, dweight, ddivisor) = at, along
    scale, tangent = _reduction.inverse(divisor), jnp.zeros((), divisor.dtype)
    if isinstance(dx, SymbolicZero):
        rows = plain_losses(x, y, weight, how)
    else:
        rows, gradient = losses_and_gradient(x, y, weight, jnp.broadcast_to(scale, weight.shape), how)
        tangent += _product(gradient, dx, divisor.dtype)
    value = _reduction.quotient(jnp.sum(rows), divisor, how.on_empty)
    if not isinstance(dweight, SymbolicZero):
        tangent += jnp.sum(plain_losses(x, y, jnp.ones_like(weight), how) * dweight) * scale
    if not isinstance(ddivisor, SymbolicZero):
        tangent -= jnp.where(divisor == 0, 0.0, value) * scale * ddivisor
    return value, tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def row_losses(x: Array, y: Array, weight: Array, how: How) -> Array:
    """weight·loss of each row, x in the dtype of the sums."""
    return plain_losses(x, y, weight, how)


@functools.partial(row_losses.defjvp, symbolic_zeros=True)
def _row_losses(how: How, at: Any, along: Any) -> tuple[Array, Array]:
    """⟨weight·(softmax − q), dx⟩ + loss·dweight of each row."""
    (x, y, weight), (dx, _, dweight) = at, along
    one, tangent = jnp.ones_like(weight), jnp.zeros_like(weight)
    if isinstance(dx, SymbolicZero):
        rows = plain_losses(x, y, weight, how)
    else:
        rows, gradient = losses_and_gradient(x, y, weight, one, how)
        tangent += jnp.sum(gradient * dx, -1)
    if not isinstance(dweight, SymbolicZero):
        tangent += plain_losses(x, y, one, how) * dweight
    return rows, tangent


def _product(gradient: Array, dx: Array, dtype: Any) -> Array:
    """⟨gradient, dx⟩; transposed, a cotangent of 1 gives the gradient's own bits."""
    return jnp.sum(gradient.astype(dtype) * dx.astype(dtype))


@functools.partial(jax.jit, static_argnums=(3,))
def plain_losses(x: Array, y: Array, weight: Array, how: How) -> Array:
    """weight·loss of each row, not differentiated."""
    defined = functools.partial(_defined_losses, how=how)
    if not kernels.ready():
        return defined(x, y, weight)

    def by_kernels(x: Array, y: Array, weight: Array) -> Array:
        return kernels.losses(x, y, weight, jnp.ones_like(weight), how)

    return jax.lax.platform_dependent(x, y, weight, cpu=by_kernels, default=defined)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def losses_and_gradient(x: Array, y: Array, weight: Array, factor: Array, how: How) -> tuple[Array, Array]:
    """weight·loss of each row, and factor times its derivative by x, in x's dtype."""
    rows, gradient = _pair(x, y, weight, factor, how)
    return rows, gradient


@functools.partial(jax.jit, static_argnums=(4,))  # outside of a jit too it is compiled once for each shape
def _pair(x: Array, y: Array, weight: Array, factor: Array, how: How) -> tuple[Array, Array]:
    """The same, not differentiated."""
    defined = functools.partial(_defined_losses_and_gradient, how=how)
    if not kernels.ready():
        return defined(x, y, weight, factor)
    by_kernels = functools.partial(kernels.losses_and_gradient, how=how)
    pair: tuple[Array, Array] = jax.lax.platform_dependent(x, y, weight, factor, cpu=by_kernels, default=defined)
    return pair


def _losses_and_gradient(how: How, at: Any, along: Any) -> Any:
    """By the definition's own derivatives."""
    (x, y, weight, factor), (dx, _, dweight, dfactor) = at, along

    def defined(x: Array, weight: Array, factor: Array) -> tuple[Array, Array]:
        def total(x: Array) -> tuple[Array, Array]:
            rows = _defined_losses(x, y, weight, how)
            return jnp.sum(rows * factor), rows

        gradient, rows = jax.grad(total, has_aux=True)(x)
        return rows, gradient

    tangents = jax.jvp(defined, (x, weight, factor), (dx, dweight, dfactor))[1]
    return losses_and_gradient(x, y, weight, factor, how), tangents


losses_and_gradient.defjvp(_losses_and_gradient)


# --- by the definition ---


def _rows(x: Array, y: Array, weight: Array, how: How) -> Rows:
    """Canonical rows of class indices."""
    options = Options(label_smoothing=how.label_smoothing, softcap=how.softcap or None, temperature=how.temperature)
    live = y != how.ignore_index
    return Rows(x, y, None, live, None, weight, None, options, False, -1, weight.dtype, weight.dtype)


def _defined_losses(x: Array, y: Array, weight: Array, how: How) -> Array:
    """The losses, in operations that JAX differentiates."""
    return agnostic.cross_entropy(_rows(x, y, weight, how), _jax)[0]


def _defined_losses_and_gradient(x: Array, y: Array, weight: Array, factor: Array, how: How) -> tuple[Array, Array]:
    """The losses and the gradient, each once."""
    rows = _rows(x, y, weight, how)
    loss, _, gradient = agnostic.cross_entropy_with_gradient(rows, lambda *_: (factor[..., None], 0.0))
    return loss, gradient
