"""`inspect`: one batch through a model and its loss, everything put back afterwards."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from .finding import Finding
from .watching import Watcher

__all__ = ["inspect"]

# crossent's losses are no functions of torch: they are recognised by their name.
CROSSENT = {
    "cross_entropy": "cross_entropy",
    "CrossEntropyLoss": "cross_entropy",
    "nll_loss": "nll_loss",
    "NLLLoss": "nll_loss",
    "binary_cross_entropy": "binary_cross_entropy",
    "BCELoss": "binary_cross_entropy",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
}


def inspect(model: Callable[..., Any], loss: Callable[..., Any], input: Any, target: Any) -> list[Finding]:
    """Run one batch forward and backward, and say what is wrong with it.

    Nothing is changed: parameters, gradients, buffers, the modes of the modules and the states of the random numbers
    of torch, NumPy and Python are those of before.

    Parameters
    ----------
    model
        A torch.nn.Module, or a function of the input.
    loss
        What is called as loss(output, target): a module or function of torch or of crossent, or one's own around them.
    input
        What the model is called with: a tensor, a tuple of arguments, or a dictionary of keyword arguments.
    target
        What the loss is called with besides.

    Returns
    -------
    list of Finding
        Each with its rule, the line that called the loss, and the module that made the loss's input (`module`).

    Raises
    ------
    Exception
        What model and loss themselves raise, where no finding explains it.

    Examples
    --------
    >>> import torch, crossent
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
    >>> batch = torch.randn(8, 4), torch.zeros(8, dtype=torch.long)
    >>> [(f.rule_id, f.module) for f in crossent.checks.inspect(model, torch.nn.CrossEntropyLoss(), *batch)]
    [('X001', '1')]

    References
    ----------
    See crossent.checks.RULES.
    """
    watcher = Watcher()
    with _unchanged(model, loss), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _batch(watcher, model, loss, input, target)
        except Exception:
            if not watcher.findings:
                raise
    return watcher.findings


def _batch(watcher: Watcher, model: Any, loss: Any, input: Any, target: Any) -> None:
    """Forward, loss, backward."""
    with watcher, _named_modules(model, watcher), torch.enable_grad():
        output = _called(model, input)
        kind = _own_loss(loss)
        if kind is not None:
            watcher.look(kind, output, target, **_options_of(loss))
        value = loss(output, target)
    parameters = [p for p in getattr(model, "parameters", list)() if p.requires_grad]
    if not parameters or not isinstance(value, torch.Tensor):
        return
    if not value.requires_grad:
        watcher.find("X027", detail="no parameter of the model gets a gradient")
        return
    gradients = torch.autograd.grad(value.sum(), parameters, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        watcher.find("X027", detail="no parameter of the model gets a gradient")
    elif any(gradient is not None and bool(torch.isnan(gradient).any()) for gradient in gradients):
        watcher.find("X030", detail="a gradient is NaN")


def _called(model: Any, input: Any) -> Any:
    if isinstance(input, Mapping):
        return model(**input)
    return model(*input) if isinstance(input, tuple) else model(input)


def _own_loss(loss: Any) -> str | None:
    """The kind of a loss of crossent."""
    of = loss if hasattr(loss, "__name__") else type(loss)
    return CROSSENT.get(of.__name__) if str(of.__module__).startswith("crossent.") else None


def _options_of(loss: Any) -> dict[str, Any]:
    names = ("weight", "ignore_index") if "Cross" in type(loss).__name__ or "NLL" in type(loss).__name__ else ()
    return {name: getattr(loss, name) for name in names if hasattr(loss, name)}


def _drop(names: list[str]) -> None:
    """Forget the innermost; a hook that gives None leaves the output as it is."""
    names.pop()


@contextmanager
def _named_modules(model: Any, watcher: Watcher) -> Iterator[None]:
    """While the model runs, the watcher knows which module does."""
    with ExitStack() as hooks:
        for name, module in getattr(model, "named_modules", list)():
            before = module.register_forward_pre_hook(lambda *_, name=name: watcher.modules.append(name))
            after = module.register_forward_hook(lambda *_: _drop(watcher.modules), always_call=True)
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        yield


@contextmanager
def _unchanged(*modules: Any) -> Iterator[None]:
    """Buffers, modes, and the states of the random numbers are put back."""
    owned = [m for m in modules if isinstance(m, torch.nn.Module)]
    parts = [part for module in owned for part in module.modules()]
    modes = [(part, part.training) for part in parts]
    buffers = [
        (part, dict(part._buffers), {k: b.clone() for k, b in part._buffers.items() if b is not None}) for part in parts
    ]
    numbers, python = np.random.get_state(), random.getstate()  # noqa: NPY002  # the global state is what is kept
    devices = sorted({p.device.index for m in owned for p in m.parameters() if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(numbers)  # noqa: NPY002
        random.setstate(python)
        for part, mode in modes:
            part.training = mode
        with torch.no_grad():
            for part, held, saved in buffers:
                part._buffers.update(held)
                for name, value in saved.items():
                    part._buffers[name].copy_(value)  # type: ignore[union-attr]  # saved are those that are tensors
