"""What a room is: canonical rows computed in one way, in the memory of the caller's arrays.

`agnostic` is the room that takes everything, by the definition; the C++ kernels and Triton's are rooms that are faster
and take less. A room never refuses late: `serves` says beforehand whether it takes a call, and begins with the options
that were asked for, so that an option which a room has not learnt sends the call elsewhere instead of being ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .._call.canonical import Elements, Rows
from .._definition import Array

Scales = tuple[Array | float, Array | float]
ScalesOf = Callable[[Rows, Array], Scales]
Moments = tuple[Array, Array, Array, Array]


class Functions(Protocol):
    """The definition's functions of a row: `_functions`, or with their derivatives `_torch.functions` and `_jax`."""

    def softmax(self, z: Array) -> Array:
        """exp(z − m)/(1 + r)."""

    def log_softmax(self, z: Array) -> Array:
        """(z − m) − log1p(r)."""

    def logsumexp(self, z: Array) -> Array:
        """m + log1p(r)."""

    def weighted_logsumexp(self, z: Array, b: Array) -> Array:
        """log |Σ b·exp(z)|."""

    def row_loss(self, z: Array, q: Array) -> Array:
        """w·log1p(r) − t."""

    def binary_loss(self, x: Array, positive: Array, negative: Array) -> Array:
        """The loss of the rows (x, 0)."""

    def moments(self, z: Array) -> Moments:
        """(lse, entropy, argmax, confidence)."""

    def log_sum_sq_probs(self, z: Array) -> Array:
        """log Σ p²."""

    def constant(self, x: Array) -> Array:
        """x without a derivative."""


class Room(Protocol):
    """The functions of a room. Those of rows give numbers of each row, in the dtype of the sums."""

    TAKES: frozenset[str]

    def serves(self, rows: Rows) -> bool:
        """Whether the room takes these rows: `rows.options.asked <= TAKES` first, then layouts and dtypes."""

    def cross_entropy(self, rows: Rows, functions: Functions) -> tuple[Array, Array | None]:
        """(loss, sample_weight·lse² or None without z-loss)."""

    def cross_entropy_with_gradient(self, rows: Rows, scales: ScalesOf) -> tuple[Array, Array | None, Array]:
        """The same and d/dx of their sum scaled by `scales(rows, loss)`, in x's dtype."""

    def moments(self, rows: Rows, functions: Functions) -> Moments:
        """(lse, entropy, argmax, confidence), of ignored rows too."""

    def target_losses(self, rows: Rows, functions: Functions) -> tuple[Array, Array]:
        """(loss, log-probability of the target as given)."""

    def softmax(self, rows: Rows, functions: Functions) -> Array:
        """The probabilities of rows without a target."""

    def log_softmax(self, rows: Rows, functions: Functions) -> Array:
        """Their logarithms."""

    def logsumexp(self, rows: Rows, functions: Functions) -> Array:
        """m + log1p(r)."""

    def binary_cross_entropy_with_logits(self, call: Elements, functions: Functions) -> Array:
        """The loss of each element."""
