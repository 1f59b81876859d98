import jax
import jax.numpy as jnp


def nll(params, x, labels):
    logits = jnp.dot(x, params)
    probs = jax.nn.softmax(logits, axis=-1)
    return -jnp.mean(jnp.take_along_axis(jnp.log(probs), labels[:, None], axis=-1))  # expect: X019
