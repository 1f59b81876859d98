"""Which room for this array: one visible chain of ifs."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from . import _plain
from ._arrays import is_jax, is_torch, tracing
from ._definition import Array


def rules(x: Array) -> Any:
    """The definition's functions, with their derivatives for the libraries that differentiate."""
    if is_torch(x):
        from . import _autograd

        return _autograd
    if is_jax(x):
        from .backends import jax_rules

        return jax_rules
    return _plain


def room(_x: Array) -> Any:
    """The room that computes for x. Faster rooms (C++ on the CPU, Triton on the GPU) are asked first, here."""
    from .backends import agnostic

    return agnostic


def fuses(x: Array, *others: Array) -> bool:
    """Whether x is an eager torch tensor on the CPU, which has faster ways than torch's operations; see _fused."""
    if not is_torch(x) or tracing(x):
        return False
    from . import _fused

    return _fused.serves(x, *others)


def quiet(x: Array) -> Any:
    """NumPy's warnings off inside: the definition meets infinities knowingly, and selects what it takes of them."""
    return contextlib.nullcontext() if is_torch(x) or is_jax(x) else np.errstate(all="ignore")
