"""Observes PyTorch's own losses while a program runs: what made their input, and what is in it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from .._mistakes import RULES
from ..errors import MisuseWarning
from . import verdicts
from .finding import Finding

__all__ = ["Origin", "Watcher", "watch"]


@dataclass(frozen=True)
class Origin:
    """What made a tensor: "softmax", "sigmoid", "log_softmax", "label", "logits"; where, and in which module."""

    kind: str
    place: str = ""
    module: str = ""


MAKERS: dict[Any, str] = {
    F.softmax: "softmax",
    torch.softmax: "softmax",
    torch.Tensor.softmax: "softmax",
    F.log_softmax: "log_softmax",
    torch.log_softmax: "log_softmax",
    torch.Tensor.log_softmax: "log_softmax",
    F.sigmoid: "sigmoid",
    torch.sigmoid: "sigmoid",
    torch.Tensor.sigmoid: "sigmoid",
    torch.argmax: "label",
    torch.Tensor.argmax: "label",
    torch.round: "label",
    torch.Tensor.round: "label",
}
KEEPERS = {
    getattr(torch.Tensor, name)
    for name in [
        "view",
        "reshape",
        "flatten",
        "squeeze",
        "unsqueeze",
        "transpose",
        "permute",
        "contiguous",
        "clone",
        "to",
        "float",
        "double",
        "half",
        "cpu",
        "cuda",
    ]
} | {torch.flatten, torch.squeeze, torch.reshape, torch.transpose, torch.permute, torch.Tensor.bfloat16}
LOSSES: dict[Any, str] = {
    F.cross_entropy: "cross_entropy",
    F.nll_loss: "nll_loss",
    F.binary_cross_entropy: "binary_cross_entropy",
    F.binary_cross_entropy_with_logits: "binary_cross_entropy_with_logits",
    F.kl_div: "kl_div",
}
LOGS = {torch.log, torch.Tensor.log}
COMPARED = {getattr(of, name) for of in (torch, torch.Tensor) for name in ("gt", "ge", "lt", "le")}
COMPARED |= {torch.Tensor.__gt__, torch.Tensor.__ge__, torch.Tensor.__lt__, torch.Tensor.__le__}
LIBRARIES = ("torch.", "crossent.checks", "crossent._")


def caller() -> tuple[str, int]:
    """The file and line of the program that runs, outside of torch and of this module."""
    frame = sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(LIBRARIES):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _inside_crossent() -> bool:
    """Whether it is crossent that calls: what its losses do inside is no mistake of the program."""
    frame = sys._getframe(2)
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith("torch."):
        frame = frame.f_back
    name = str(frame.f_globals.get("__name__", ""))
    return name.startswith("crossent.") and not name.startswith("crossent.checks")


class Watcher(TorchFunctionMode):
    """Sees every function of torch that is called; findings once for each rule and line."""

    def __init__(self, report: Callable[[Finding], None] | None = None) -> None:
        super().__init__()
        self.findings: list[Finding] = []
        self.modules: list[str] = []
        self.origins: Any = WeakTensorKeyDictionary()
        self.report = report

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at the arguments, call, remember where the result came from."""
        kwargs = kwargs or {}
        if _inside_crossent():
            return func(*args, **kwargs)
        loss = LOSSES.get(func)
        if loss is not None:
            self.look(loss, *args, **kwargs)
        elif func is torch.Tensor.backward:
            self._backward(args[0])
        result = func(*args, **kwargs)
        if func in MAKERS:
            self._made(MAKERS[func], func, result, args, kwargs)
        elif func in KEEPERS and isinstance(result, torch.Tensor) and args and args[0] in self.origins:
            self.origins[result] = self.origins[args[0]]
        elif func in LOGS:
            self._logarithm(args[0], result)
        elif func in COMPARED:
            self._compared(*args)
        return result

    def origin(self, x: Any) -> Origin:
        """What made a tensor, as far as it was seen."""
        found = self.origins.get(x) if isinstance(x, torch.Tensor) else None
        return found if isinstance(found, Origin) else Origin("")

    def find(self, rule: str, origin: Origin | None = None, *, detail: str = "", level: str = "certain") -> None:
        """Report a mistake at the line that runs."""
        path, line = caller()
        level = "note" if RULES[rule].level == "note" else level
        module = origin.module if origin is not None else ""
        place = origin.place if origin is not None else ""
        finding = Finding(rule, level, path, line, 1, line, 1, origin=place, module=module, detail=detail)
        if any((one.rule_id, one.path, one.line) == (rule, path, line) for one in self.findings):
            return
        self.findings.append(finding)
        if self.report is not None:
            self.report(finding)

    def look(self, loss: str, input: Any, target: Any = None, *rest: Any, **options: Any) -> None:
        """A loss is about to be called."""
        if not isinstance(input, torch.Tensor) or not isinstance(target, torch.Tensor) or torch.compiler.is_compiling():
            return
        origin = self.origin(input)
        names = ("weight", "size_average", "ignore_index") if loss in ("cross_entropy", "nll_loss") else ()
        options |= dict(zip(names, rest, strict=False))
        for rule, detail, level in verdicts.of(loss, origin.kind, input.detach(), target.detach(), options):
            self.find(rule, origin, detail=detail, level=level)
        if loss == "binary_cross_entropy_with_logits" and not origin.kind:
            self.origins[input] = Origin("logits", "{}:{}".format(*caller()))

    def _made(self, kind: str, func: Any, result: Any, args: Any, kwargs: Any) -> None:
        """Remember what a softmax, sigmoid or argmax made; look at its axis."""
        if not isinstance(result, torch.Tensor):
            return
        if kind == "label" and self.origin(args[0]).kind == "logits" and func in (torch.round, torch.Tensor.round):
            self.find("X026", self.origin(args[0]))
        path, line = caller()
        self.origins[result] = Origin(kind, f"{path}:{line}", self.modules[-1] if self.modules else "")
        if kind in ("softmax", "log_softmax"):
            self._axis(func, result, args, kwargs)

    def _axis(self, func: Any, result: Any, args: Any, kwargs: Any) -> None:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if dim is None and func in (F.softmax, F.log_softmax):
            self.find("X008", self.origin(result))
        elif isinstance(dim, int) and result.ndim and result.shape[dim] == 1 and result.numel():
            self.find(
                "X011", self.origin(result), level="certain" if dim % result.ndim == result.ndim - 1 else "possible"
            )
        elif dim == 0 and result.ndim == 2:
            self.find("X009", self.origin(result), level="possible")

    def _logarithm(self, x: Any, result: Any) -> None:
        """The logarithm of a softmax or sigmoid."""
        rule = {"softmax": "X019", "sigmoid": "X020"}.get(self.origin(x).kind)
        if rule is not None:
            infinite = int(torch.isinf(result.detach()).sum())
            self.find(rule, self.origin(x), detail=f"{infinite} of {result.numel()} are -inf" if infinite else "")

    def _compared(self, x: Any = None, other: Any = None, *_: Any) -> None:
        """Logits compared with 0.5."""
        if isinstance(other, float) and other == 0.5 and self.origin(x).kind == "logits":
            self.find("X026", self.origin(x))

    def _backward(self, loss: Any) -> None:
        """A loss without a graph behind it, made by hand."""
        if loss.requires_grad and loss.grad_fn is None:
            self.find("X027")


@contextmanager
def watch(*, possible: bool = False, notes: bool = False) -> Iterator[list[Finding]]:
    """Observe PyTorch's own losses while a program runs, without a change to it.

    Parameters
    ----------
    possible
        Report findings too that may be meant so: all numbers in 0 … 1, a softmax along the first of two axes.
    notes
        Report those findings too that make no number wrong.

    Returns
    -------
    context manager
        It gives the list of findings, which grows while the program runs; each is also a MisuseWarning at the line
        that did it, which `strict` makes an error. Values are read: on a GPU that waits for it, so watch a few
        batches and not a whole training.

    Examples
    --------
    >>> import torch, warnings, crossent
    >>> with warnings.catch_warnings(), crossent.checks.watch() as findings:
    ...     warnings.simplefilter("ignore")
    ...     p = torch.softmax(torch.randn(8, 3), dim=1)
    ...     loss = torch.nn.CrossEntropyLoss()(p, torch.zeros(8, dtype=torch.long))
    >>> [finding.rule_id for finding in findings]
    ['X001']
    """
    shown: list[Finding] = []

    def report(finding: Finding) -> None:
        if {"certain": True, "possible": possible, "note": notes}[finding.level]:
            shown.append(finding)
            warnings.warn_explicit(f"{finding.rule_id} {finding.message}", MisuseWarning, finding.path, finding.line)

    with Watcher(report):
        yield shown
