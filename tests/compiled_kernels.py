"""Compile, for a GPU that is not there, every kernel as its launcher would launch it; print what came out as JSON.

    python tests/compiled_kernels.py 90

Run in a process of its own: Triton must not be in its interpreter. A stand-in for the driver names the architecture,
and each launch ends when its kernel is compiled.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from crossent import _reduction
from crossent._call import options as call_options
from crossent._call.canonical import Elements
from crossent._door import rows as door
from crossent.backends import triton as room

ROWS = 200
WIDTHS = {
    torch.bfloat16: (1000, 8192, 16384, 32000, 128256),
    torch.float32: (1000, 16384, 262144),
    torch.float64: (1000, 50000),
}
EVERY = {"label_smoothing": 0.1, "z_loss": 0.1, "softcap": 5.0, "temperature": 0.7}
CUOBJDUMP = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"


class Driver:
    """What Triton asks a driver before it compiles."""

    def __init__(self, architecture: int) -> None:
        self.architecture = architecture

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.architecture, 32)


def dump(cubin: bytes, what: str) -> str:
    """What the toolkit tells of a compiled kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([str(CUOBJDUMP), what, file.name], capture_output=True, text=True, check=True).stdout


def resources(cubin: bytes) -> dict[str, int]:
    """Registers and shared memory of a compiled kernel, and how many instructions move spilled registers."""
    usage = dict(re.findall(r"(REG|STACK|SHARED):(\d+)", dump(cubin, "--dump-resource-usage")))
    spills = len(re.findall(r"\b(?:LDL|STL)\b", dump(cubin, "-sass"))) if int(usage["STACK"]) else 0
    return {"registers": int(usage["REG"]), "shared": int(usage["SHARED"]), "spills": spills}


def accesses(ptx: str) -> dict[str, int]:
    """How often the code reads and writes global memory, by bits: "ld 128", "st 32"."""
    found = re.findall(r"\b(ld|st)\.global[.\w:]*?(?:\.v(\d))?\.b(\d+)\b", ptx)
    return Counter(f"{what} {int(count or 1) * int(bits)}" for what, count, bits in found)


class Recorder:
    """Takes the place of a launch: compiles, and notes what came out."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []
        self.case = ""
        self.kernels: set[int] = set()
        self.run = JITFunction.run

    def __call__(self, kernel: JITFunction, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        compiled = self.run(kernel, *args, grid=grid, warmup=True, **options)
        self.kernels.add(id(compiled))
        found = {**resources(compiled.asm["cubin"]), **accesses(compiled.asm["ptx"])}
        self.notes.append({"case": self.case, "kernel": kernel.fn.__name__, "warps": options["num_warps"], **found})
        return compiled


def canonical(x: torch.Tensor, target: torch.Tensor, weight: Any = None, **options: Any) -> call_options.Rows:
    """A validated call."""
    return door.rows(
        "cross_entropy", x, target, call_options.validated("cross_entropy", weight, options, call_options.LossOptions)
    )


def losses(recorder: Recorder, title: str, rows: call_options.Rows) -> None:
    """Loss with gradient, loss alone, gradient from statistics."""
    recorder.case = title
    room.cross_entropy_with_gradient(rows, _reduction.scales)
    _, _, state = room.cross_entropy(rows, saving=True)
    room.gradient(rows, state, torch.ones(rows.x.shape[:-1]), 1.0)


def widths(recorder: Recorder) -> None:
    """Plain calls of every width, and every option at once."""
    for dtype, sizes in WIDTHS.items():
        for classes in sizes:
            x, y = torch.empty(ROWS, classes, dtype=dtype), torch.zeros(ROWS, dtype=torch.int64)
            losses(recorder, f"aligned {dtype} {classes}", canonical(x, y, z_loss=1e-4))
            recorder.case = f"aligned {dtype} {classes}"
            room.softmax(x)
            room.moments(canonical(x, y))
    for classes in (1000, 8192, 16384):
        recorder.case = f"plain {classes}"
        room.reduced_with_gradient(canonical(torch.zeros(ROWS, classes, dtype=torch.bfloat16), y))
    x, y, q = torch.empty(ROWS, 4096), torch.zeros(ROWS, dtype=torch.int64), torch.full((ROWS, 4096), 1 / 4096)
    extra = {"weight": torch.ones(4096), "sample_weight": torch.ones(ROWS), "where": torch.ones(4096, dtype=torch.bool)}
    losses(recorder, "every option", canonical(x, y, **extra, **EVERY, check=False))
    losses(recorder, "every option, probabilities", canonical(x, q, **extra, **EVERY, check=False))


def rest(recorder: Recorder) -> None:
    """Few wide rows, rows that are not aligned, and the other functions."""
    y = torch.zeros(4, dtype=torch.int64)
    for classes in (1000, 128256):
        x = torch.empty(ROWS, classes, dtype=torch.bfloat16)
        losses(
            recorder,
            f"aligned smoothed {classes}",
            canonical(x, torch.zeros(ROWS, dtype=torch.int64), label_smoothing=0.1),
        )
    losses(recorder, "few rows", canonical(torch.empty(4, 128256, dtype=torch.bfloat16), y))
    losses(recorder, "unaligned", canonical(torch.empty(4, 50257, dtype=torch.bfloat16)[:, 1:], y))
    recorder.case = "other"
    x = torch.empty(ROWS, 1000)
    room.reduced(canonical(x, torch.zeros(ROWS, dtype=torch.int64), torch.ones(1000), z_loss=1e-4))
    room.reduced(canonical(torch.empty(1, 2).expand(100_000, 2), torch.zeros(100_000, dtype=torch.int64)))
    room.log_softmax(x)
    room.logsumexp(x)
    room.nll(canonical(x, torch.zeros(ROWS, dtype=torch.int64), label_smoothing=0.1))
    room.times(x, torch.ones(()), inplace=True)
    call = Elements(x, torch.ones_like(x), torch.ones(1000), torch.ones(1000), call_options.Options(**EVERY), x.dtype)
    room.binary_cross_entropy_with_gradient(call)


def anew(recorder: Recorder) -> int:
    """How many kernels are compiled for a last batch of fewer rows, on top of those for the batches before."""
    known = 0
    for count in (200, 199, 161, 144):
        x, y = torch.empty(count, 1000, dtype=torch.bfloat16), torch.zeros(count, dtype=torch.int64)
        rows = canonical(x, y, torch.ones(1000), z_loss=1e-4)
        room.reduced_with_gradient(rows)
        room.reduced_gradient(rows, room.reduced_with_state(rows)[1], torch.ones(()))
        room.times(x, torch.ones(()), inplace=True)
        known = known or len(recorder.kernels)
    return len(recorder.kernels) - known


def main() -> None:
    """Compile for the architecture of the command line."""
    recorder = Recorder()
    JITFunction.run = lambda kernel, *args, **options: recorder(kernel, *args, **options)  # noqa: PLW0108  # it binds
    triton.runtime.driver.set_active(Driver(int(sys.argv[1])))
    widths(recorder)
    rest(recorder)
    print(json.dumps({"kernels": recorder.notes, "anew": anew(recorder), "architecture": int(sys.argv[1])}))


if __name__ == "__main__":
    main()
