"""A plain loss in one call of the extension: (N, C) logits and (N,) indices in a row, and what numbers say besides.

A small loss is all overhead. What a plain call must satisfy is asked of the arrays alone; whatever is not plain, or not
right, is None here and goes the general way, which has the messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..._call.options import LARGEST
from ..._definition import Array
from . import _extension
from ._views import empty_like

SMALL = 1 << 15  # numbers below which one thread, and the library's own memory, are best
KINDS = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, np.dtype(np.float16): 3}
INT64, FLOAT32, FLOAT64 = np.dtype(np.int64), np.dtype(np.float32), np.dtype(np.float64)


class Settings(NamedTuple):
    """The options of a plain call as the extension takes them; softcap 0 is none."""

    reduction: int = 1
    ignore_index: int = -100
    label_smoothing: float = 0.0
    z_loss: float = 0.0
    softcap: float = 0.0
    temperature: float = 1.0


REDUCTIONS = {"sum": 0, "mean": 1, "none": 2}
DEFAULT = Settings()
NONE = 2
NUMBERS = frozenset(("label_smoothing", "z_loss", "softcap", "temperature"))
CHECKS = ("auto", True, False)


def settings(options: Mapping[str, Any]) -> Settings | None:
    """The settings of options that are plain and in their ranges, else None."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == "reduction":
            if type(value) is not str or value not in REDUCTIONS:
                return None
            found[name] = REDUCTIONS[value]
        elif name == "check":
            if type(value) not in (str, bool) or value not in CHECKS:
                return None
        elif name == "ignore_index":
            if type(value) is not int or not -(2**63) <= value < 2**63:
                return None
            found[name] = value
        elif name not in NUMBERS or type(value) not in (float, int) or not 0.0 <= value <= LARGEST:
            if name != "softcap" or value is not None:
                return None
        else:
            found[name] = value
    made = Settings(**found)
    small = made.label_smoothing <= 1.0 and made.temperature > 0.0
    return made if small and ("softcap" not in found or made.softcap > 0.0) else None


def _is_flat(x: Array, dtype: Any, ndim: int) -> bool:
    """Whether x is a NumPy array of this dtype whose elements lie one after the other."""
    return type(x) is np.ndarray and x.dtype == dtype and x.ndim == ndim and x.flags.c_contiguous and x.flags.aligned


def loss(
    x: Array, y: Array, weight: Array, options: Mapping[str, Any], *, wanted: bool = False
) -> tuple[Array, Array] | None:
    """(the loss of a plain call of NumPy's arrays, its derivative by x if wanted), or None."""
    kernels, kind, made = _extension.kernels(), KINDS.get(x.dtype), settings(options) if options else DEFAULT
    if kernels is None or kind is None or made is None or not _is_flat(x, x.dtype, 2) or not _is_flat(y, INT64, 1):
        return None
    (rows, classes), sums = x.shape, FLOAT64 if kind == 1 else FLOAT32
    if y.shape[0] != rows or classes < 2 or not rows:
        return None
    if weight is not None and not (_is_flat(weight, sums, 1) and weight.shape[0] == classes):
        return None
    kernels = _extension.ready() if rows * classes > SMALL else kernels
    value = np.empty(rows, sums) if made.reduction == NONE else np.empty((), x.dtype)
    gradient = empty_like(x) if wanted else None
    places = x.ctypes.data, y.ctypes.data, 0 if weight is None else weight.ctypes.data
    into = 0 if gradient is None else gradient.ctypes.data
    if not kernels.plain(kind, rows, classes, *places, *made, into, value.ctypes.data, 0, 1.0):
        return None
    return value.astype(x.dtype, copy=False) if made.reduction == NONE else value[()], gradient
