"""What a loss of PyTorch is about to be given, judged by shapes, dtypes and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .._mistakes import floor_of_softmax

__all__ = ["of"]

Verdict = tuple[str, str, str]
CERTAIN, POSSIBLE = "certain", "possible"
TOLERANCE = 1e-3
ENOUGH = 16


def of(loss: str, made_by: str, x: Any, target: Any, options: Mapping[str, Any]) -> Iterator[Verdict]:
    """(rule, detail, level) of everything that is wrong with a call."""
    if made_by == "label" or not x.is_floating_point():
        yield "X012", "", CERTAIN
        return
    ignored = options.get("ignore_index", -100)
    if x.numel() and bool(torch.isnan(_counted(x, target, ignored)).any()):
        yield "X030", "", CERTAIN
        return
    if loss in ("cross_entropy", "nll_loss"):
        yield from _classes(loss, made_by, x, target, options)
    elif loss == "kl_div":
        if made_by == "softmax" or (not made_by and _like_softmax(x)):
            yield "X029", "", CERTAIN
    else:
        yield from _binary(loss, made_by, x, target)


def _counted(x: Any, target: Any, ignored: int) -> Any:
    """The rows that are not ignored."""
    if x.ndim > 1 and target.shape == x.shape[:1] + x.shape[2:] and not target.is_floating_point():
        return x.movedim(1, -1)[target != ignored]
    return x


def _like_softmax(x: Any) -> bool:
    """Whether every row looks like a softmax's."""
    axis = min(1, x.ndim - 1)
    if x.numel() == 0 or x.shape[axis] < 2 or float(x.min()) < 0 or float(x.max()) > 1 + TOLERANCE:
        return False
    sums = x.float().sum(axis)
    return bool((sums - 1).abs().max() <= TOLERANCE) and not bool(((x == 0) | (x == 1)).all())


def _squeezed(x: Any) -> bool:
    """Whether many numbers all lie between 0 and 1."""
    return x.numel() >= ENOUGH and 0 <= float(x.min()) < float(x.max()) <= 1 and not bool(((x == 0) | (x == 1)).all())


def _classes(loss: str, made_by: str, x: Any, target: Any, options: Mapping[str, Any]) -> Iterator[Verdict]:
    classes = x.shape[min(1, x.ndim - 1)] if x.ndim else 0
    floor = f"the loss cannot fall below {floor_of_softmax(classes):.3f} here, C = {classes}" if classes else ""
    if loss == "nll_loss":
        yield from _log_probabilities(made_by, x)
    elif classes == 1:
        yield "X010", "", CERTAIN
    elif made_by == "softmax" or (not made_by and _like_softmax(x)):
        yield "X001", floor, CERTAIN
    elif made_by == "sigmoid":
        yield "X002", floor, CERTAIN
    elif made_by == "log_softmax":
        yield "X003", "", "note"
    elif not made_by and _squeezed(x):
        yield "X002", "", POSSIBLE
    yield from _targets(x, target, classes, options)
    weight = options.get("weight")
    if isinstance(weight, torch.Tensor) and weight.numel() != classes:
        yield "X023", f"{weight.numel()} weights for {classes} classes", CERTAIN


def _log_probabilities(made_by: str, x: Any) -> Iterator[Verdict]:
    if made_by in ("softmax", "sigmoid") or (not made_by and _like_softmax(x)):
        yield "X005", "", CERTAIN
    elif x.numel() and float(x.max()) > TOLERANCE:
        yield "X006", f"the largest is {float(x.max()):.3g}", CERTAIN


def _targets(x: Any, target: Any, classes: int, options: Mapping[str, Any]) -> Iterator[Verdict]:
    """Shape, dtype and range of the targets."""
    rows = tuple(x.shape[:1] + x.shape[2:]) if x.ndim > 1 else ()
    if target.shape == x.shape:
        yield from _distribution(target)
    elif tuple(target.shape) == rows and target.is_floating_point():
        yield "X014", "", CERTAIN
    elif tuple(target.shape) == (*rows, 1):
        yield "X016", f"target {tuple(target.shape)}", CERTAIN
    elif x.ndim == 3 and target.shape == x.shape[:2] and tuple(target.shape) != rows:
        yield "X017", f"input {tuple(x.shape)}, target {tuple(target.shape)}", CERTAIN
    if x.ndim == 3 and tuple(target.shape) == rows and target.shape == x.shape[:2]:
        yield "X017", f"input {tuple(x.shape)} can be read both ways", POSSIBLE
    if tuple(target.shape) == rows and not target.is_floating_point() and target.numel():
        counted = target[target != options.get("ignore_index", -100)]
        if counted.numel() and (int(counted.max()) >= classes or int(counted.min()) < 0):
            wrong = int(counted.max()) if int(counted.max()) >= classes else int(counted.min())
            yield "X015", f"a label is {wrong}, there are {classes} classes", CERTAIN


def _distribution(target: Any) -> Iterator[Verdict]:
    """Targets shaped like the scores."""
    if not target.is_floating_point():
        yield "X013", "", CERTAIN
        return
    sums = target.sum(min(1, target.ndim - 1)) if target.ndim else target
    if target.numel() and (float(target.min()) < 0 or float((sums - 1).abs().max()) > 1e-2):
        yield "X024", f"a row sums to {float(sums.flatten()[(sums - 1).abs().argmax()]):.3g}", CERTAIN


def _binary(loss: str, made_by: str, x: Any, target: Any) -> Iterator[Verdict]:
    if {tuple(x.shape), tuple(target.shape)} == {(x.shape or (0,))[:1], (*(x.shape or (0,))[:1], 1)}:
        yield "X018", f"input {tuple(x.shape)}, target {tuple(target.shape)}", CERTAIN
    if target.shape == x.shape and not target.is_floating_point():
        yield "X013", "", CERTAIN
    if loss == "binary_cross_entropy_with_logits":
        if made_by in ("softmax", "sigmoid"):
            yield "X004", "", CERTAIN
        elif not made_by and _squeezed(x):
            yield "X004", "", POSSIBLE
    elif x.numel() and (float(x.min()) < 0 or float(x.max()) > 1):
        yield "X007", f"input holds {float(x.min()):.3g} … {float(x.max()):.3g}", CERTAIN
    elif made_by == "sigmoid":
        yield "X028", "", "note"
