"""Two mistakes around a loss that only a running Trainer of Transformers shows: seen from its frame, told once each."""

from __future__ import annotations

import dis
import sys
import weakref
from types import CodeType, FrameType
from typing import Any, NamedTuple

from .._definition import Array
from .._mistakes import RULES
from .targets import warn

DEPTH = 60  # frames between a loss and the trainer: those of a model's forward pass
COUNT = "num_items_in_batch"

_told: weakref.WeakSet[Any] = weakref.WeakSet()


class Waiting(NamedTuple):
    """A Trainer that waits for a loss: what it has counted, and the frame of its compute_loss_func, if that runs."""

    trainer: Any
    count: Any
    function: FrameType | None


def look_at_count(loss: str) -> None:
    """Look whether a mean without a divisor of its own is what a Trainer that accumulates gets."""
    found = waiting()
    if found is None or found.trainer in _told or found.count is None or found.function is None:
        return
    steps = getattr(found.trainer, "current_gradient_accumulation_steps", 1)
    if steps < 2 or COUNT in _read(found.function.f_code):
        return
    name = found.function.f_code.co_name
    text = f"{name}, the compute_loss_func of a Trainer that accumulates {steps} micro-batches, takes the mean of each"
    _say("X031", found.trainer, f"{text} ({loss}): loss and gradient are {steps} times too large")


def look_at_shift(loss: str, labels: Array, ignore_index: int) -> None:
    """Look whether the Trainer that counted the labels knows that position 0 predicts nothing."""
    found = waiting()
    if found is None or found.trainer in _told or getattr(found.trainer, "_loss_shifts_labels", True) is not False:
        return
    if bool((labels[..., 0] != ignore_index).any()):
        text = f"{loss} shifts the labels, but Trainer has counted position 0 of each row into {COUNT}"
        _say("X032", found.trainer, f"{text}: the loss is too small")


def waiting() -> Waiting | None:
    """The trainer whose compute_loss waits for this call, if there is one."""
    if "transformers.trainer" not in sys.modules:
        return None
    frame: FrameType | None = sys._getframe(1)
    inner = frame
    for _ in range(DEPTH):
        if frame is None:
            return None
        if frame.f_code.co_name == "compute_loss" and "self" in frame.f_locals and COUNT in frame.f_locals:
            own = frame.f_locals["self"]
            given = getattr(own, "compute_loss_func", None) is not None and "outputs" in frame.f_locals
            return Waiting(own, frame.f_locals[COUNT], inner if given else None)
        inner, frame = frame, frame.f_back
    return None


def _read(code: CodeType) -> set[Any]:
    """The names that a function reads."""
    return {step.argval for step in dis.get_instructions(code) if step.opname.startswith("LOAD_")}


def _say(name: str, trainer: Any, seen: str) -> None:
    """One warning a trainer, in the rule's words."""
    _told.add(trainer)
    rule = RULES[name]
    warn(f"{name} {rule.title}: {seen}; {rule.fix}")
