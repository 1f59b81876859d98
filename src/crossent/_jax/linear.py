"""The linear layer and its loss in JAX, chunk by chunk: the gradients are formed in the forward pass, no logits stored.

A scan over blocks of rows forms some logits, their losses and their gradient, and the products of that with the weight
and with the rows; a cotangent of the loss then only scales what is there. Second derivatives take the whole logits.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from .. import _reduction
from .._call.canonical import Layer
from .._definition import Array
from .._linear.layer import selected
from . import rows as losses
from .kernels import How

BUDGET = 24 * 2**20  # bytes of the logits of one block; their gradient, and a product with it, lie beside them


class Parts(NamedTuple):
    """What the loss is a function of: x (N, D), weight (C, D), bias (C,) or None, the rows' weights, the divisor."""

    x: Array
    weight: Array
    bias: Array
    row_weight: Array
    divisor: Array


def serves(layer: Layer) -> bool:
    """Whether the loss of this layer is one number, of rows that are served."""
    return layer.weight.ndim == 2 and layer.rows.options.reduction != "none" and losses.serves(layer.rows)


def reduced(layer: Layer) -> Array:
    """The reduced loss of a layer that is served."""
    rows, parts, how = _taken(layer)
    return linear_loss(parts, rows, how).astype(layer.rows.dtype)


def value_and_gradients(layer: Layer) -> tuple[Array, list[Array]]:
    """The same and the derivatives by x, weight and bias, of the sum of them."""
    y, parts, how = _taken(layer)
    value, by_x, by_weight, by_bias = loss_and_gradients(parts, y, how)
    by_bias = None if layer.bias is None else by_bias.astype(layer.bias.dtype)
    by_x = by_x.astype(layer.x.dtype).reshape(layer.x.shape)
    return value.astype(layer.rows.dtype), [by_x, by_weight.astype(layer.weight.dtype), by_bias]


def _taken(layer: Layer) -> tuple[Array, Parts, How]:
    """The class indices, what is differentiated, and the options."""
    how, row_weight, divisor = losses.taken(layer.rows, layer.x.shape[:-1])
    x = selected(layer).reshape(-1, layer.x.shape[-1])
    return layer.rows.y.reshape(-1), Parts(x, layer.weight, layer.bias, row_weight.reshape(-1), divisor), how


# --- the function and its derivatives ---


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def linear_loss(parts: Parts, y: Array, how: How) -> Array:
    """Σ row_weight·loss/divisor of the logits x·Wᵀ + b."""
    total = jnp.sum(_row_losses(parts, y, how))
    return _reduction.quotient(total, parts.divisor, how.on_empty)


@functools.partial(linear_loss.defjvp, symbolic_zeros=True)
def _linear_loss(how: How, at: Any, along: Any) -> tuple[Array, Array]:
    """The gradients along the tangents."""
    (parts, y), d = at, along[0]
    value, *gradients = loss_and_gradients(parts, y, how)
    scale, tangent = _reduction.inverse(parts.divisor), jnp.zeros_like(value)
    for gradient, tangent_of_part in zip(gradients, d[:3], strict=True):
        if tangent_of_part is not None and not isinstance(tangent_of_part, SymbolicZero):
            tangent += jnp.sum(gradient.astype(value.dtype) * tangent_of_part.astype(value.dtype))
    if not isinstance(d.row_weight, SymbolicZero):
        own = parts._replace(row_weight=jnp.ones_like(parts.row_weight))
        tangent += jnp.sum(_row_losses(own, y, how) * d.row_weight) * scale
    if not isinstance(d.divisor, SymbolicZero):
        tangent -= jnp.where(parts.divisor == 0, 0.0, value) * scale * d.divisor
    return value, tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def loss_and_gradients(parts: Parts, y: Array, how: How) -> tuple[Array, Array, Array, Array]:
    """The loss and its derivatives by x, weight and bias, in one scan."""
    dtype, weight = parts.divisor.dtype, parts.weight.astype(_dtype(parts))
    scale = _reduction.inverse(parts.divisor)

    def block(sums: Any, some: Any) -> Any:
        x, y, row_weight = some
        total, by_weight, by_bias = sums
        z = _logits(x, parts)
        rows, g = losses.losses_and_gradient(z, y, row_weight, jnp.broadcast_to(scale, y.shape), how)
        by_weight += jnp.matmul(g.T, x.astype(g.dtype), preferred_element_type=dtype)
        by_bias = by_bias if parts.bias is None else by_bias + jnp.sum(g, 0, dtype=dtype)
        return (total + jnp.sum(rows), by_weight, by_bias), jnp.matmul(g, weight)

    zeros = (jnp.zeros((), dtype), jnp.zeros(weight.shape, dtype), jnp.zeros(weight.shape[:1], dtype))
    (total, by_weight, by_bias), by_x = jax.lax.scan(block, zeros, _blocks(parts, y))
    value = _reduction.quotient(total, parts.divisor, how.on_empty)
    return value, by_x.reshape(-1, by_x.shape[-1])[: y.shape[0]], by_weight, by_bias


def _loss_and_gradients(how: How, at: Any, along: Any) -> Any:
    """By the derivatives of the loss of the whole logits."""
    (parts, y), (d, _) = at, along

    def defined(parts: Parts) -> tuple[Array, Array, Array, Array]:
        def loss(x: Array, weight: Array, bias: Array) -> Array:
            z = _logits(x, parts._replace(weight=weight, bias=bias))
            return losses.mean_loss(z, y, parts.row_weight, parts.divisor, how)

        bias = jnp.zeros(parts.weight.shape[:1], _dtype(parts)) if parts.bias is None else parts.bias
        value, gradients = jax.value_and_grad(loss, argnums=(0, 1, 2))(parts.x, parts.weight, bias)
        by_x, by_weight, by_bias = gradients
        return value, by_x.astype(_dtype(parts)), by_weight.astype(value.dtype), by_bias.astype(value.dtype)

    return loss_and_gradients(parts, y, how), jax.jvp(defined, (parts,), (d,))[1]


loss_and_gradients.defjvp(_loss_and_gradients)


def _row_losses(parts: Parts, y: Array, how: How) -> Array:
    """row_weight·loss of each row; not differentiated."""

    def block(_: None, some: Any) -> tuple[None, Array]:
        x, y, row_weight = some
        return None, losses.plain_losses(_logits(x, parts), y, row_weight, how)

    return jax.lax.scan(block, None, _blocks(parts, y))[1].reshape(-1)[: y.shape[0]]


# --- the blocks ---


def _dtype(parts: Parts) -> Any:
    """The dtype of the products and of the logits."""
    return jnp.result_type(parts.x, parts.weight)


def _logits(x: Array, parts: Parts) -> Array:
    """x·Wᵀ + b of some rows."""
    dtype = _dtype(parts)
    z = jnp.matmul(x.astype(dtype), parts.weight.astype(dtype).T)
    return z if parts.bias is None else z + parts.bias.astype(dtype)


def _blocks(parts: Parts, y: Array) -> tuple[Array, Array, Array]:
    """(x, y, row_weight) in blocks of rows of one size; rows of weight 0 fill up the last."""
    count, classes = y.shape[0], parts.weight.shape[0]
    most = max(1, BUDGET // (classes * _dtype(parts).itemsize))
    blocks = max(1, math.ceil(count / most))
    size = math.ceil(count / blocks)

    def cut(part: Array) -> Array:
        missing = blocks * size - count
        filled = jnp.pad(part, [(0, missing)] + [(0, 0)] * (part.ndim - 1)) if missing else part
        return filled.reshape(blocks, size, *part.shape[1:])

    return cut(parts.x), cut(y), cut(parts.row_weight)
