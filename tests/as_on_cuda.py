"""Tensors of the CPU treated as those of a GPU, so that what only a GPU would show is seen without one.

They take the GPU's door and Triton's interpreter, and inside of `device()`

- the host may read no value of a tensor: not by numpy(), item(), bool(), tolist(), nor by an operation whose result has
  a size that depends on values;
- fresh memory holds NaN or nonsense, and the programs of a kernel run in an order by chance;
- what a GPU would launch is counted: Triton's kernels, and torch's operations that are no views.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import kernels
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from crossent._call import arrays

READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "repeat_interleave")
VIEWS = {"alias", "as_strided", "detach", "expand", "permute", "select", "slice", "split", "squeeze", "t", "transpose"}
VIEWS |= {"unfold", "unsqueeze", "view", "_unsafe_view", "_reshape_alias", "lift_fresh", "unbind", "diagonal"}
EMPTY = ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided")


class HostRead(AssertionError):
    """The host has read what lies on the device."""


class Device(TorchDispatchMode):
    """What a GPU is asked to do: `launches` by name."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if name in READS or (name in ("index", "index_put") and any(_is_mask(part) for part in args[1])):
            raise HostRead(name)
        out = function(*args, **(kwargs or {}))
        if name in EMPTY:
            _poison(out)
        elif name not in VIEWS:
            self.launches[name] += 1
        return out

    @property
    def count(self) -> int:
        return sum(self.launches.values())


def _is_mask(part: Any) -> bool:
    """Whether an index is a mask, whose number of elements the host has to know."""
    return part is not None and part.dtype == torch.bool


def _poison(x: torch.Tensor) -> None:
    """Numbers that nobody would write."""
    if x.is_floating_point():
        x.fill_(torch.nan)
    elif x.dtype != torch.bool:
        x.fill_(torch.iinfo(x.dtype).max - 1)


def _refuse(*_: Any, **__: Any) -> Any:
    raise HostRead("a tensor's numbers")


class Later:
    """A number of the device that the host gets without an operation of torch's."""

    def __init__(self, number: torch.Tensor) -> None:
        self.number = number

    def value(self) -> int:
        return ctypes.c_int64.from_address(self.number.data_ptr()).value


def add_wide_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, first: bool) -> None:
    """What a CPU has no product for."""
    product = a.to(total.dtype) @ b.to(total.dtype)
    total.copy_(product if first else total + product)


def _launched(device: Device, executor: Any) -> Any:
    """A launch of the interpreter: counted, its programs in an order by chance, unseen by the mode."""
    from triton.runtime import interpreter

    own, chance = executor.__call__, random.Random(0)

    def call(self: Any, *args: Any, **options: Any) -> Any:
        device.launches[f"triton {self.fn.__name__}"] += 1
        place, grid = interpreter.interpreter_builder.set_grid_idx, (*self.grid, 1, 1)[:3]
        orders = [chance.sample(range(size), size) for size in grid]
        with pytest.MonkeyPatch.context() as patch, _disable_current_modes():
            moved = lambda *at: place(*(order[k] for order, k in zip(orders, at, strict=True)))  # noqa: E731
            patch.setattr(interpreter.interpreter_builder, "set_grid_idx", moved)
            return own(self, *args, **options)

    return call


@contextlib.contextmanager
def device() -> Iterator[Device]:
    """Treat the tensors of the CPU as a GPU's inside."""
    from triton.runtime import interpreter

    mode = Device()
    with kernels(), pytest.MonkeyPatch.context() as patch:
        unreadable = lambda *parts: not any(isinstance(part, torch.Tensor) for part in parts)  # noqa: E731
        own = arrays.readable
        for module in list(sys.modules.values()):
            if module.__dict__.get("readable") is own:
                patch.setattr(module, "readable", unreadable)
        patch.setattr("crossent._torch.state._modes", lambda: 0)
        patch.setattr("crossent._torch.tied.is_one", lambda g: False)
        patch.setattr("crossent._torch.ways.is_one", lambda g: False)
        for name in ("numpy", "tolist", "__array__"):
            patch.setattr(torch.Tensor, name, _refuse)
        patch.setattr(interpreter.GridExecutor, "__call__", _launched(mode, interpreter.GridExecutor))
        patch.setattr("crossent._linear.device.GPUS", ("cpu",))
        patch.setattr("crossent._linear.device.Later", Later)
        patch.setattr("crossent._linear.products.add_wide_product", add_wide_product)
        with mode:
            yield mode
