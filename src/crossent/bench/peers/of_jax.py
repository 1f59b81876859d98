"""JAX, under jit: value and gradient as XLA fuses them, of crossent, of optax and by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..cases import BOTH, CROSSENT, Case
from ..inputs import Inputs, inputs_of
from ..measure import Step

__all__ = ["crossent_step", "optax_step", "step", "temporaries"]

Array = Any
Loss = Callable[..., Array]


def step(case: Case, inputs: Inputs) -> Step | None:
    """The case in JAX's own functions; its inputs are copied once, outside of the timing."""
    import jax

    if case.work in ("softmax", "log_softmax", "logsumexp"):
        function = jax.nn.logsumexp if case.work == "logsumexp" else getattr(jax.nn, case.work)
        kin, x = jax.jit(lambda x: function(x, -1)), _array(case, inputs.logits)
        return Step(lambda: (_done(kin(x)), None))
    return _step(case, inputs, binary if case.work == "binary" else _cross_entropy(case))


def crossent_step(case: Case, inputs: Inputs) -> Step:
    """crossent under jit."""
    return _step(case, inputs, _crossent(case), whole=False)


def optax_step(case: Case, inputs: Inputs) -> Step | None:
    """optax under jit, of the cases in JAX's arrays."""
    return _step(case, inputs, _optax(case)) if case.arrays == "jax" else None


def temporaries(case: Case, peer: str) -> int:
    """The bytes that a compiled case takes beside its arguments and its results."""
    own = peer == CROSSENT
    function, arguments = _compiled(case, inputs_of(case), _crossent(case) if own else _optax(case), whole=not own)
    return int(function.lower(*arguments).compile().memory_analysis().temp_size_in_bytes)


def _step(case: Case, inputs: Inputs, loss: Loss, *, whole: bool = True) -> Step:
    """The step of a loss, with its gradients where the case has a backward pass."""
    function, arguments = _compiled(case, inputs, loss, whole=whole)
    if case.passes == BOTH:
        return Step(lambda: _done(function(*arguments)))
    return Step(lambda: (_done(function(*arguments)), None))


def _compiled(case: Case, inputs: Inputs, loss: Loss, *, whole: bool) -> tuple[Any, tuple[Array, ...]]:
    """The function under jit and its arguments; `whole`: a loss of logits, which a linear layer forms."""
    import jax
    import jax.numpy as jnp

    indices = inputs.target.dtype.kind != "f"
    y = jnp.asarray(inputs.target, dtype=jnp.int32) if indices else _array(case, inputs.target)
    if case.work != "linear":
        return jax.jit(jax.value_and_grad(loss) if case.passes == BOTH else loss), (_array(case, inputs.logits), y)
    own = (lambda x, weight, y: loss(x @ weight.T, y)) if whole else loss
    function = jax.jit(jax.value_and_grad(own, argnums=(0, 1)) if case.passes == BOTH else own)
    return function, (_array(case, inputs.features), _array(case, inputs.weight), y)


def _array(case: Case, x: Any) -> Array:
    """An array of the case's dtype."""
    import jax.numpy as jnp

    return jnp.asarray(x, dtype=case.dtype)


def _done(result: Any) -> Any:
    """A result when it is there: JAX gives it before it is computed."""
    import jax

    wait: Any = jax.block_until_ready
    return wait(result)


def _crossent(case: Case) -> Loss:
    """crossent's function."""
    import crossent

    if case.work == "linear":
        return crossent.linear_cross_entropy
    return lambda x, y: crossent.cross_entropy(x, y, label_smoothing=case.smoothing)


def _optax(case: Case) -> Loss:
    """The mean of optax's losses, classes on axis 1."""
    import jax
    import optax

    def loss(x: Array, y: Array) -> Array:
        if case.smoothing:
            q = optax.smooth_labels(jax.nn.one_hot(y, x.shape[1], dtype=x.dtype), case.smoothing)
            return optax.softmax_cross_entropy(x, q).mean()
        return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()

    return loss


def binary(x: Array, y: Array) -> Array:
    """The mean of log(1 + exp(x)) − y·x."""
    import jax.numpy as jnp

    return (jnp.logaddexp(0, x) - x * y).mean()


def _cross_entropy(case: Case) -> Loss:
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
