"""What the walk over the chunks does otherwise for tensors on a GPU, where the host should not wait.

The budget of logits is larger there, the kernels of Triton turn a chunk's logits into their gradient, and the rows that
count come first by an order that is formed on the device. How many they are is copied to the host while the first chunk
is computed, which needs no more than the order: nobody waits for it.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from types import ModuleType
from typing import Any

from .._call.arrays import is_torch
from .._definition import Array

GPUS = ("cuda",)
BUDGET = 2**30  # bytes of logits at one time: the products keep their speed from some thousands of rows


def on_gpu(x: Array) -> bool:
    """Whether x is a tensor on a device that Triton has kernels for."""
    return is_torch(x) and x.device.type in GPUS


@functools.cache
def _has_triton() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def room(rows: Any) -> ModuleType | None:
    """The kernels of the GPU where they take the rows."""
    if not on_gpu(rows.x) or not _has_triton():
        return None
    from ..backends import triton

    return triton if triton.serves(rows) else None


def _recording() -> bool:
    """Whether a CUDA graph is recorded: then nothing can be known of the numbers."""
    cuda = sys.modules["torch"].cuda
    return bool(cuda.is_available() and cuda.is_current_stream_capturing())


class Later:
    """A number that is on its way from the device."""

    def __init__(self, number: Array) -> None:
        torch = sys.modules["torch"]
        self.host = torch.empty((), dtype=number.dtype, pin_memory=True)
        self.host.copy_(number, non_blocking=True)
        self.event = torch.cuda.Event()
        self.event.record()

    def value(self) -> int:
        """The number, waited for if it is not there yet."""
        self.event.synchronize()
        return int(self.host)


def ordered(counts: Array) -> tuple[Array, Later] | None:
    """(the places of the rows, those that count first; their number), None where it is of no use or cannot be known."""
    if counts is None or not on_gpu(counts) or _recording():
        return None
    flat = counts.reshape(-1)
    order = (~flat).to(sys.modules["torch"].uint8).argsort(stable=True)
    return order, Later(flat.sum())
