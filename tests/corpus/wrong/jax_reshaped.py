import jax
import jax.numpy as jnp
import optax


def loss(params, apply, x, y):
    p = jnp.moveaxis(jax.nn.softmax(apply(params, x)), 0, 1)
    return optax.softmax_cross_entropy_with_integer_labels(p, y).mean()  # expect: X001
