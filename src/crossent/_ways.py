"""Which room for this array: one visible chain of ifs."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from typing import Any

import numpy as np

from . import _functions
from ._call.arrays import is_jax, is_numpy, is_torch, tracing
from ._call.options import Binary, Rows
from ._definition import Array

TRITON_DEVICES = ("cuda",)


def rules(x: Array) -> Any:
    """The definition's functions, with their derivatives for the libraries that differentiate."""
    if is_torch(x):
        from ._torch import softmax

        return softmax
    if is_jax(x):
        from . import _jax

        return _jax
    return _functions


def room(rows: Rows) -> Any:
    """The room that computes these rows: the C++ one where nothing is differentiated, else the one that always can."""
    if on_gpu(rows.x):
        return gpu()
    if is_numpy(rows.x) or (fuses(rows.x, rows.q, rows.weight, rows.sample_weight) and not _wants_grad(rows.x)):
        from .backends import cpu

        return cpu if cpu.serves(rows) else agnostic()
    return agnostic()


def loss_room(rows: Rows) -> Any:
    """The same for a loss: torch.compile's graph has the C++ room as operators, which are differentiated."""
    if is_torch(rows.x) and sys.modules["torch"].compiler.is_compiling():
        from ._torch import compiled

        return compiled if compiled.serves(rows) else agnostic()
    return room(rows)


def binary_room(call: Binary) -> Any:
    """The room that computes these elements."""
    if on_gpu(call.x):
        return gpu()
    if is_numpy(call.x):
        from .backends import cpu

        return cpu if cpu.serves_binary(call) else agnostic()
    return agnostic()


def on_gpu(x: Array) -> bool:
    """Whether x is an eager torch tensor on a device that Triton has kernels for, outside of every transform."""
    if not is_torch(x) or x.device.type not in TRITON_DEVICES or tracing(x) or not _has_triton():
        return False
    from torch.autograd import forward_ad

    return forward_ad._current_level < 0


@functools.cache
def _has_triton() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def gpu() -> Any:
    """The room of such tensors: Triton's kernels, tied to autograd."""
    from ._torch import gpu as torch_gpu

    return torch_gpu


@functools.cache
def quick() -> Any:
    """The short way of plain calls on torch tensors, imported when torch is there."""
    from ._torch import short

    return short


def plain_softmax(output: int, x: Array) -> Array:
    """softmax or log_softmax over the last axis by the shortest way; None where x has to be looked at first."""
    if type(x) is np.ndarray:
        from .backends import cpu

        return cpu.plain_softmax(output, x)
    return quick().softmax(output, x) if is_torch(x) and not sys.modules["torch"].compiler.is_compiling() else None


def agnostic() -> Any:
    """The room that always works."""
    from .backends import agnostic

    return agnostic


def _wants_grad(x: Array) -> bool:
    """Whether autograd records what is done with a torch tensor."""
    return bool(x.requires_grad) and sys.modules["torch"].is_grad_enabled()


def fuses(x: Array, *others: Array) -> bool:
    """Whether x is an eager torch tensor on the CPU, which has faster ways than torch's operations; see _torch.cpu."""
    if not is_torch(x) or tracing(x) or on_gpu(x):
        return False
    from ._torch import cpu as torch_cpu

    return torch_cpu.serves(x, *others)


def quiet(x: Array) -> Any:
    """NumPy's warnings off inside: the definition meets infinities knowingly, and selects what it takes of them."""
    return contextlib.nullcontext() if is_torch(x) or is_jax(x) else np.errstate(all="ignore")
