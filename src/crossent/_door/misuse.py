"""Looks at the values of a loss's input for silent mistakes: a softmax or sigmoid before it, NaN.

With check="auto" the first calls from each place in the caller's code (or of each loss object) are looked at, a few
rows of each; afterwards a call costs one look into a dictionary. check=True looks at every row of every call. Nothing
is read that lies on a GPU or has no values yet. The words are the rules' own (`_mistakes`).
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from .._call.arrays import dtype_name, is_torch, readable, values
from .._call.canonical import Call
from .._call.options import Options
from .._definition import Array
from .._mistakes import RULES, floor_of_softmax
from . import trainer
from .targets import is_compiling, warn

__all__ = ["LOOKS", "forget", "look", "look_afterwards", "look_at_elements"]

LOOKS = 3  # calls that are looked at
ROWS = 16  # rows of each
ENOUGH = 16  # numbers between 0 and 1 that are no accident, in LOOKS calls running
PLACES = 4096

_calls: dict[Any, int] = {}
_squeezed: dict[Any, int] = {}


def forget() -> None:
    """Look again at the first calls from every place."""
    _calls.clear()
    _squeezed.clear()


def _caller() -> Any:
    """What tells one use of a loss from another: the place in the caller's code, or the loss object."""
    frame = sys._getframe(3)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("crossent.", "torch.nn.modules.")
    ):
        if frame.f_code.co_name == "forward" and frame.f_globals["__name__"].startswith("crossent.nn."):
            return id(frame.f_locals.get("self"))
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def _due(call: Call) -> Any:
    """The key of a call that is to be looked at, or None."""
    if is_compiling():
        return None
    if call.options.check is True:
        return "always"
    key = _caller()
    count = _calls.get(key, 0)
    if count >= LOOKS:
        return None
    if len(_calls) > PLACES:
        forget()
    _calls[key] = count + 1
    if call.options.reduction == "mean" and call.options.denominator is None:
        trainer.look_at_count(call.function)
    return key


def look(call: Call, x: Array, y: Array, axis: int) -> None:
    """Look at rows of logits."""
    key = _due(call)
    if key is None or x.shape[axis] < 2 or call.options.where is not None or not readable(x, y):
        return
    rows = _sample(call, x, y, axis, everything=key == "always")
    if rows is None or not rows.size:
        return
    if not _finite(call, rows):
        return
    low, high = float(rows.min()), float(rows.max())
    if low < 0 or high > 1 + 1e-6 or _only_zeros_and_ones(rows):
        _squeezed[key] = 0
        return
    tolerance = 1e-2 if "16" in str(x.dtype) else 1e-4
    if np.abs(rows.sum(-1) - 1).max() <= tolerance:
        floor = f"with these {rows.shape[-1]} classes below {floor_of_softmax(rows.shape[-1]):.3f}"
        _say(
            "X001",
            f"every row of input lies in 0 … 1 and sums to 1, as a softmax gives; the loss cannot fall {floor}",
            call,
        )
    elif _squeezed_for_long(key, rows):
        _say("X002", "every number of input lies in 0 … 1, as a sigmoid gives", call)


def look_afterwards(function: str, x: Array, y: Array, options: Any, weight: Array = None) -> None:
    """Look at a plain call, which has taken the shortest way and is checked but for this."""
    check = options.get("check", "auto")
    if check is False or (check == "auto" and _calls.get(_caller(), 0) >= LOOKS):
        return
    call = Call(function, x, y, Options(weight=weight, **options))
    if function.startswith("binary"):
        look_at_elements(call, x)
    else:
        look(call, x, y, 1)


def look_at_elements(call: Call, x: Array) -> None:
    """Look at the logits of a binary loss."""
    key = _due(call)
    if key is None or not readable(x):
        return
    few = _few(x, everything=key == "always")
    if not few.size:
        return
    few = few.astype(np.float32, copy=False) if few.dtype.itemsize < 4 else few
    if _finite(call, few, infinite=False) and few.min() >= 0 and few.max() <= 1 and not _only_zeros_and_ones(few):
        if _squeezed_for_long(key, few):
            _say("X004", "every number of input lies in 0 … 1, as a sigmoid or softmax gives", call)
    else:
        _squeezed[key] = 0


def _few(x: Array, *, everything: bool) -> Any:
    """Some elements as NumPy's; only they are read, if they lie one after the other."""
    seen = _memory(x)
    flat = seen.reshape(-1) if seen.flags.c_contiguous else seen
    return _numbers(flat if everything or flat.ndim > 1 else flat[:: max(1, flat.size // 256)], x)


def _sample(call: Call, x: Array, y: Array, axis: int, *, everything: bool) -> Any:
    """Some rows that count, as NumPy's (rows, classes), in float32 or wider; only they are read."""
    seen = np.moveaxis(_memory(x), axis, -1)
    batch = seen.shape[:-1]
    count = math.prod(batch)
    picked = np.arange(count) if everything or count <= ROWS else np.linspace(0, count - 1, ROWS).astype(int)
    index = np.unravel_index(picked, batch) if batch else ()
    rows = np.atleast_2d(_numbers(seen[index], x))
    if y is not None:
        rows = rows[np.atleast_1d(_memory(y)[index]) != call.options.ignore_index]
    return rows.astype(np.float32) if rows.dtype.itemsize < 4 else rows


def _memory(x: Array) -> Any:
    """The memory of a readable array, as NumPy's, bfloat16 as its bits: no operation of torch's looks at it.

    (After a fork torch's threads are gone, and an operation that waits for them hangs.)
    """
    if is_torch(x) and dtype_name(x.dtype) == "bfloat16":
        return x.detach().view(sys.modules["torch"].uint16).numpy()
    seen = values(x)
    return np.asarray(seen) if isinstance(seen, (np.ndarray, np.generic)) else np.from_dlpack(seen)


def _numbers(seen: Any, x: Array) -> Any:
    """The numbers of such memory: bfloat16 is the upper half of a float32."""
    if is_torch(x) and dtype_name(x.dtype) == "bfloat16":
        return (seen.astype(np.uint32) << 16).view(np.float32)
    return seen


def _finite(call: Call, rows: Any, *, infinite: bool = True) -> bool:
    """Whether no number is NaN or, in a row of classes, +inf; −inf is a masked class."""
    with np.errstate(invalid="ignore"):
        high = rows.max()
    if high < np.inf or (high == np.inf and not infinite):
        return True
    if call.options.sample_weight is not None:  # a row of weight 0 may hold anything
        return False
    _say("X030", "input holds NaN" if np.isnan(high) else "input holds +inf", call)
    return False


def _only_zeros_and_ones(rows: Any) -> bool:
    """Zeros of a new layer and one-hot rows are no outputs of a sigmoid."""
    return bool(((rows == 0) | (rows == 1)).all())


def _squeezed_for_long(key: Any, rows: Any) -> bool:
    """Whether all looks so far have seen numbers between 0 and 1 alone: in one look that may be chance."""
    if rows.size < ENOUGH or rows.min() == rows.max():
        return False
    _squeezed[key] = _squeezed.get(key, 0) + 1
    return key == "always" or _squeezed[key] == LOOKS


def _say(name: str, seen: str, call: Call) -> None:
    """One warning, in the rule's words."""
    rule = RULES[name]
    warn(f"{name} {rule.title}: {seen}; {rule.fix} — in {call}")
