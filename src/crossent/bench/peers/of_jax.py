"""JAX, under jit: value and gradient as XLA fuses them."""

from __future__ import annotations

from typing import Any

from ..cases import BOTH, Case
from ..inputs import Inputs
from ..measure import Step

__all__ = ["step"]

Array = Any


def step(case: Case, inputs: Inputs) -> Step | None:
    """The case, compiled; its inputs are copied once, outside of the timing."""
    import jax
    import jax.numpy as jnp

    if case.work == "linear":
        return _linear_layer(case, inputs)
    x = jnp.asarray(inputs.logits, dtype=case.dtype)
    if case.work not in ("binary", "cross_entropy"):
        kin = jax.jit(getattr(jax.nn, case.work), static_argnums=1)
        return Step(lambda: (_done(kin(x, -1)), None))
    y = jnp.asarray(inputs.target, dtype=case.dtype if inputs.target.dtype.kind == "f" else jnp.int32)
    loss = binary if case.work == "binary" else _cross_entropy(case)
    if case.passes == BOTH:
        both = jax.jit(jax.value_and_grad(loss))
        return Step(lambda: _done(both(x, y)))
    forward = jax.jit(loss)
    return Step(lambda: (_done(forward(x, y)), None))


def _done(result: Any) -> Any:
    """A result when it is there: JAX gives it before it is computed."""
    import jax

    wait: Any = jax.block_until_ready
    return wait(result)


def _linear_layer(case: Case, inputs: Inputs) -> Step:
    """A linear layer and its cross-entropy, with both gradients where the case has a backward pass."""
    import jax
    import jax.numpy as jnp

    x, weight = (jnp.asarray(part, dtype=case.dtype) for part in (inputs.features, inputs.weight))
    y, of_logits = jnp.asarray(inputs.target, dtype=jnp.int32), _cross_entropy(case)

    def loss(x: Array, weight: Array, y: Array) -> Array:
        return of_logits(x @ weight.T, y)

    function = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)) if case.passes == BOTH else loss)
    if case.passes == BOTH:
        return Step(lambda: _done(function(x, weight, y)))
    return Step(lambda: (_done(function(x, weight, y)), None))


def binary(x: Array, y: Array) -> Array:
    """The mean of log(1 + exp(x)) − y·x."""
    import jax.numpy as jnp

    return (jnp.logaddexp(0, x) - x * y).mean()


def _cross_entropy(case: Case) -> Any:
    """The mean of −⟨q, log p⟩, classes on axis 1."""
    import jax
    import jax.numpy as jnp

    def loss(x: Array, y: Array) -> Array:
        log_p = jax.nn.log_softmax(x, axis=1)
        if case.probabilities:
            return -(y * log_p).sum(1).mean()
        picked = jnp.take_along_axis(log_p, y[:, None], axis=1)[:, 0]
        return -((1 - case.smoothing) * picked + case.smoothing * log_p.mean(1)).mean()

    return loss
