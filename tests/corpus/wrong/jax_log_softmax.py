import jax
import jax.numpy as jnp


def predict(params, x):
    return jax.nn.softmax(x @ params["w"] + params["b"])


def loss(params, x, y):
    p = predict(params, x)
    return -jnp.mean(jnp.sum(y * jnp.log(p), axis=-1))  # expect: X019


grad = jax.jit(jax.grad(loss))
