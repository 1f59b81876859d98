"""The C++ kernels under jax.jit on a CPU: a custom call that gives the losses of rows, and their gradient beside them.

See backends/cpu/kernels/xla.cpp. Where the extension is not built, and on other platforms, the definition serves.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._definition import Array
from ..backends.cpu import _extension

TARGET = "crossent_losses"


class How(NamedTuple):
    """The options of a loss of class indices, by which it is compiled."""

    label_smoothing: float
    softcap: float
    temperature: float
    ignore_index: int
    on_empty: str

    @property
    def words(self) -> np.ndarray:
        """As the custom call takes them: in words of 32 bits, the widest that JAX has without jax_enable_x64."""
        numbers = np.array([self.label_smoothing, self.softcap, self.temperature], np.float64)
        return np.concatenate([numbers.view(np.int32), np.array([self.ignore_index], np.int64).view(np.int32)])


@functools.cache
def _register(extension: object) -> None:
    """Tell XLA of the kernels, once a process."""
    jax.ffi.register_ffi_target(TARGET, extension.xla_losses(), platform="cpu")  # type: ignore[attr-defined]


def ready() -> bool:
    """Whether XLA can call the kernels, which then know how many threads they have."""
    extension = _extension.kernels()
    if extension is None or not hasattr(extension, "xla_losses"):
        return False
    _register(extension)
    _extension.ready()
    return True


def losses(x: Array, y: Array, weight: Array, factor: Array, how: How) -> Array:
    """weight·loss of each row of logits x (…, C) with class indices y (…), in the dtype of the sums."""
    return _call(x, y, weight, factor, how, ())[0]


def losses_and_gradient(x: Array, y: Array, weight: Array, factor: Array, how: How) -> tuple[Array, Array]:
    """The same and factor times its derivative by x, in x's dtype, in one pass over the logits."""
    rows, gradient = _call(x, y, weight, factor, how, (jax.eval_shape(lambda: x),))
    return rows, gradient


def _call(x: Array, y: Array, weight: Array, factor: Array, how: How, more: tuple[Any, ...]) -> Array:
    """The custom call; a batch of calls under vmap is one with more rows."""
    results = (jax.eval_shape(lambda: weight), *more)
    return jax.ffi.ffi_call(TARGET, results, vmap_method="broadcast_all")(x, y, weight, factor, jnp.asarray(how.words))
