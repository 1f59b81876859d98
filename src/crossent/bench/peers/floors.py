"""The floors: what any implementation must do at least, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cases import BOTH, FORWARD, Case
from ..inputs import Inputs
from ..measure import Step

__all__ = ["copy", "products", "read"]


def copy(case: Case, inputs: Inputs) -> Step | None:
    """One read and one write of the logits, into memory that is there already."""
    if case.work == "linear":
        return None
    into, x = _with_copy(inputs)
    return Step(lambda: (into(x), None))


def read(case: Case, inputs: Inputs) -> Step | None:
    """One read of the logits, where no more is written than a number a row."""
    if case.work == "linear" or case.passes == BOTH or case.work in ("softmax", "log_softmax"):
        return None
    x = _fastest(inputs)
    return Step(lambda: (x.sum(), None))


def products(case: Case, inputs: Inputs) -> Step | None:
    """The matrix products of a linear layer alone: the logits, and of a backward pass dX and dW."""
    if case.work != "linear":
        return None
    x, weight = (inputs.torch[name].detach() for name in ("features", "weight"))
    if case.passes == FORWARD:
        return Step(lambda: (x @ weight.T, None))
    logits = x @ weight.T
    return Step(lambda: (x @ weight.T, (logits @ weight, logits.T @ x)))


def _fastest(inputs: Inputs) -> Any:
    """The logits in torch's hands, which copies with all threads, or else in NumPy's."""
    from . import is_installed

    return inputs.torch["logits"] if is_installed("torch") else inputs.logits


def _with_copy(inputs: Inputs) -> tuple[Any, Any]:
    """A function that copies the logits, and the logits."""
    x = _fastest(inputs)
    if isinstance(x, np.ndarray):
        into = x.copy()
        return (lambda source: np.copyto(into, source)), x
    return x.clone().copy_, x
