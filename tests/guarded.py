"""Losses of logits that end where a page begins that may not be read: the interpreter ends with the process.

python tests/guarded.py
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import torch

from crossent import _reduction
from crossent._call import options as call_options
from crossent._door import rows as door
from crossent.backends import triton as room
from crossent.backends.triton import layout

_held: list[mmap.mmap] = []


def guarded(x: torch.Tensor) -> torch.Tensor:
    """The same numbers in memory that ends before a page without access."""
    size, page = x.numel() * x.element_size(), mmap.PAGESIZE
    pages = -(-size // page)
    memory = mmap.mmap(-1, (pages + 1) * page)
    _held.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(start + pages * page), page, 0) == 0
    own = torch.frombuffer(memory, dtype=x.dtype, count=x.numel(), offset=pages * page - size).reshape(x.shape)
    return own.copy_(x)


def main() -> None:
    """Every kernel that reads rows, of widths that are no powers of two, with a mask, weights and dense targets."""
    for shape in ((3, 37), (2, 150), (3, 21, 2)):
        if shape[1] == 150:
            layout.RESIDENT, layout.sweep_block = 0, lambda classes, dtype, gradient: 64
        x = guarded(torch.randn(shape))
        y = guarded(torch.randint(0, shape[1], (shape[0], *shape[2:])))
        q = guarded(torch.full(shape, 1 / shape[1]))
        weight = guarded(torch.ones(shape[1]))
        for target in (y, q):
            options = call_options.validated("cross_entropy", weight, {"check": False}, call_options.LossOptions)
            rows = door.rows("cross_entropy", x, target, options)
            loss, _, gradient = room.cross_entropy_with_gradient(rows, _reduction.scales)
            state = room.cross_entropy(rows, saving=True)[2]
            again = room.gradient(rows, state, *_reduction.scales(rows, loss))
            assert torch.allclose(gradient, again, rtol=1e-4, atol=1e-7)
            assert math.isfinite(float(loss.sum()))
            assert torch.isfinite(room.reduced(rows))
        room.softmax(x)
        room.moments(rows)


if __name__ == "__main__":
    main()
