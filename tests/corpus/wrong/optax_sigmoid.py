import jax
import jax.numpy as jnp
import optax


def loss(params, x, y):
    prob = jax.nn.sigmoid(x @ params["w"] + params["b"])
    return jnp.mean(optax.sigmoid_binary_cross_entropy(prob, y))  # expect: X004
