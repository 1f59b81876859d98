"""Which room for this array: one visible chain of ifs."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from . import _definition
from ._arrays import is_jax, is_numpy
from ._definition import Array, is_torch


def rules(x: Array) -> Any:
    """The definition's functions, with their derivatives for the libraries that differentiate."""
    if is_torch(x):
        from . import _autograd

        return _autograd
    if is_jax(x):
        from .backends import jax_rules

        return jax_rules
    return _definition


def room(_x: Array) -> Any:
    """The room that computes for x. Faster rooms (C++ on the CPU, Triton on the GPU) are asked first, here."""
    from .backends import agnostic

    return agnostic


def quiet(x: Array) -> Any:
    """NumPy's warnings off inside: the definition meets infinities knowingly, and selects what it takes of them."""
    return np.errstate(all="ignore") if is_numpy(x) else contextlib.nullcontext()
