"""crossent itself, through its public API: arrays of the case's library, as a user calls it."""

from __future__ import annotations

from typing import Any

import crossent

from ..cases import BOTH, Case
from ..inputs import Inputs
from ..measure import Step

__all__ = ["step"]


def step(case: Case, inputs: Inputs) -> Step | None:
    """A step of the case; None where this build of crossent lacks the function."""
    if case.arrays == "torch":
        from . import of_torch

        if case.work == "linear":
            function = getattr(crossent, "linear_cross_entropy", None)
            return None if function is None else of_torch.linear(function, case, inputs)
        return of_torch.rows(_torch_function(case), case, inputs, {} if case.module else _options(case))
    if case.arrays == "jax":
        from . import of_jax

        return of_jax.crossent_step(case, inputs)
    if case.work == "cross_entropy":
        return _numpy_loss(case, inputs)
    function = getattr(crossent, case.work)
    return Step(lambda: (function(inputs.logits), None))


def _torch_function(case: Case) -> Any:
    """The function, or the module, that computes a case."""
    if case.module:
        return crossent.nn.CrossEntropyLoss(**_options(case))
    names = {"binary": "binary_cross_entropy_with_logits"}
    return getattr(crossent, names.get(case.work, case.work))


def _options(case: Case) -> dict[str, Any]:
    """The options of a loss that differ from their defaults."""
    options: dict[str, Any] = {"label_smoothing": case.smoothing} if case.smoothing else {}
    return {**options, "inplace": True} if case.inplace else options


def _numpy_loss(case: Case, inputs: Inputs) -> Step:
    """The loss of NumPy arrays, with its gradient where the case has one."""
    x, y, options = inputs.logits, inputs.target, _options(case)
    if case.passes == BOTH:
        return Step(lambda: crossent.cross_entropy_with_grad(x, y, **options))
    return Step(lambda: (crossent.cross_entropy(x, y, **options), None))
