"""PyTorch: eager, compiled, and its chunked linear loss; and the steps that crossent shares with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from ..cases import BOTH, COMPILED, FORWARD, Case
from ..inputs import Inputs
from ..measure import Step

__all__ = ["chunked", "compiled", "eager", "linear", "rows"]

Function = Callable[..., Any]


def eager(case: Case, inputs: Inputs) -> Step | None:
    """torch's own function."""
    if case.work == "linear":
        return linear(functional.linear_cross_entropy, case, inputs)
    return rows(_function(case), case, inputs, _options(case))


def compiled(case: Case, inputs: Inputs) -> Step | None:
    """torch.compile of the same, where there is a goal against it or the case is a linear layer of some size."""
    wanted = case.goal(COMPILED) is not None or (case.work == "linear" and case.passes == BOTH and case.size > 1 << 24)
    if not wanted:
        return None
    function = functional.linear_cross_entropy if case.work == "linear" else _function(case)
    torch.compiler.reset()
    ours = torch.compile(function, dynamic=False)
    return linear(ours, case, inputs) if case.work == "linear" else rows(ours, case, inputs, _options(case))


def chunked(case: Case, inputs: Inputs) -> Step | None:
    """torch's linear loss that stores no more than a chunk of the logits, with a gradient."""
    options = getattr(torch.nn, "LinearCrossEntropyOptions", None)
    if case.work != "linear" or case.passes == FORWARD or options is None:
        return None
    return linear(functional.linear_cross_entropy, case, inputs, {"options": options()})


def rows(function: Function, case: Case, inputs: Inputs, options: dict[str, Any] | None = None) -> Step:
    """A function of logits: the value and a fresh .grad, or the value alone."""
    options = options or {}
    if case.work not in ("cross_entropy", "binary"):
        x = inputs.torch["logits"]
        return Step(lambda: (function(x, -1), None))
    y = inputs.torch["target"]
    if case.passes == FORWARD:
        x = inputs.torch["logits"]
        return Step(lambda: (function(x, y, **options), None))
    if options.get("inplace"):
        x = inputs.refreshed
        return Step(_backward(function, (x,), (y,), options), lambda: x.detach().copy_(inputs.torch["logits"]))
    x = inputs.torch["logits"].detach().requires_grad_()
    return Step(_backward(function, (x,), (y,), options))


def linear(function: Function, case: Case, inputs: Inputs, options: dict[str, Any] | None = None) -> Step:
    """A function of a linear layer's input, its weight and targets."""
    options, y = options or {}, inputs.torch["target"]
    x, weight = (inputs.torch[name].detach() for name in ("features", "weight"))
    if case.passes == FORWARD:
        return Step(lambda: (function(x, weight, y, **options), None))
    leaves = (x.requires_grad_(), weight.requires_grad_())
    return Step(_backward(function, leaves, (y,), options))


def _backward(
    function: Function, leaves: tuple[Any, ...], rest: tuple[Any, ...], options: dict[str, Any]
) -> Callable[[], tuple[Any, Any]]:
    """Both passes as one call; the gradients are taken out of .grad, so that the next call makes fresh ones."""

    def run() -> tuple[Any, Any]:
        value = function(*leaves, *rest, **options)
        value.backward()
        gradients = tuple(leaf.grad for leaf in leaves)
        for leaf in leaves:
            leaf.grad = None
        return value, gradients

    return run


def _function(case: Case) -> Function:
    """torch's function of a case, or its module."""
    if case.module:
        return torch.nn.CrossEntropyLoss(label_smoothing=case.smoothing)
    names: dict[str, Function] = {
        "binary": functional.binary_cross_entropy_with_logits,
        "cross_entropy": functional.cross_entropy,
    }
    return names.get(case.work) or getattr(torch, case.work)


def _options(case: Case) -> dict[str, Any]:
    """The options that differ from torch's defaults."""
    return {"label_smoothing": case.smoothing} if case.smoothing and not case.module else {}
