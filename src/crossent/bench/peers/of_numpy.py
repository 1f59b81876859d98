"""NumPy by hand: what a careful person writes without a library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..cases import BOTH, Case
from ..inputs import Inputs
from ..measure import Step

__all__ = ["step"]

Floats = npt.NDArray[Any]


def step(case: Case, inputs: Inputs) -> Step | None:
    """The case in float32 by hand; None for other dtypes, more dimensions, and a linear layer."""
    if case.dtype != "float32" or case.work == "linear" or len(case.shape) > 2 or case.repeats_numpy:
        return None
    if case.work == "binary":
        return Step(lambda: binary(inputs.logits, inputs.target))
    if case.work == "cross_entropy":
        return Step(lambda: cross_entropy(inputs.logits, inputs.target, case))
    return Step(lambda: (BY_HAND[case.work](inputs.logits), None))


def softmax(x: Floats) -> Floats:
    """exp(x − m) over its sum."""
    e: Floats = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def log_softmax(x: Floats) -> Floats:
    """x − m less the log of the sum."""
    z: Floats = x - x.max(axis=-1, keepdims=True)
    z -= np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return z


def logsumexp(x: Floats) -> Floats:
    """m plus the log of the sum."""
    m = x.max(axis=-1, keepdims=True)
    return np.asarray((m + np.log(np.exp(x - m).sum(axis=-1, keepdims=True)))[:, 0])


BY_HAND: dict[str, Callable[[Floats], Floats]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
}


def cross_entropy(x: Floats, y: Floats, case: Case) -> tuple[Any, Any]:
    """The mean of −⟨q, log p⟩, and (p − q)/N where the case has a backward pass."""
    n, log_p = np.arange(len(x)), log_softmax(x)
    if case.probabilities:
        value = float(np.vdot(y, log_p)) / -len(x)
    else:
        value = (case.smoothing - 1) * log_p[n, y].mean()
        if case.smoothing:
            value -= case.smoothing * log_p.mean()
    if case.passes != BOTH:
        return value, None
    p = np.exp(log_p, out=log_p)
    if case.probabilities:
        p -= y
    else:
        p[n, y] -= 1 - case.smoothing
        if case.smoothing:
            p -= case.smoothing / x.shape[1]
    p /= len(x)
    return value, p


def binary(x: Floats, y: Floats) -> tuple[Any, Any]:
    """The mean of log(1 + exp(x)) − y·x, and (σ(x) − y)/N."""
    value = (np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))).mean()
    return value, (1 / (1 + np.exp(-x)) - y) / len(x)
