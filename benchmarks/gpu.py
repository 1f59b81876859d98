"""The kernels on a GPU: correctness first, then time and memory against torch and whoever else is installed.

    python benchmarks/gpu.py [--json gpu.json] [--rows 8192] [--widths 1000,8192,32768,128256,262144] [--budget 450]

Every figure is the median of many runs timed by device events, with inputs taken in turn so that no cache holds them.
"of copy" is the share of the bandwidth that copying the logits reaches in the same run, with one read and one write of
the logits counted: above 90 % there is nothing left to gain. The peak is what a call needs beside its input. The JSON
has every sample, the GPU's name and all versions. Liger overwrites its input; CCE takes hidden states, not logits, and
has its place beside linear_cross_entropy.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.metadata
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import crossent

WIDTHS = (1000, 8192, 32768, 128256, 262144)
SOFTMAX_WIDTHS = (4096, 32768, 128256, 262144)
SMALL = ((64, 10), (1024, 1000))
LIBRARIES = ("crossent", "torch", "triton", "liger-kernel", "quack-kernels", "cut-cross-entropy")
CACHE = 256 * 2**20  # bytes that no cache holds
LINE = "{:14} {:>6}×{:<7} {:9} {:24} {:>10} {:>9} {:>9} {:>10}"
Step = Callable[[torch.Tensor, torch.Tensor], Any]


# --- contenders ---


def backward(loss: Step) -> Step:
    """A forward and a backward pass."""

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss(x, y), x)[0]

    return step


@functools.cache
def installed(module: str, name: str) -> Any:
    """A function of another library, or None."""
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever an optional library does on import, it is left out
        print(f"{module} is left out: {error!r}"[:120], file=sys.stderr)
        return None


def losses(*, compiled: bool) -> dict[str, Step]:
    """Cross-entropy with its gradient: every way that is here."""
    own = crossent.cross_entropy
    contenders = {
        "crossent, one pass": lambda x, y: crossent.cross_entropy_with_grad(x.detach(), y)[1],
        "crossent, autograd": backward(own),
        "crossent, rows' losses": backward(lambda x, y: own(x, y, reduction="none").sum()),
        "torch": backward(F.cross_entropy),
    }
    if compiled:
        torch.compiler.reset()  # a shape more is a compilation more, and there is a limit to these
        contenders["torch.compile"] = backward(torch.compile(F.cross_entropy, dynamic=False))
    liger, quack = (
        installed("liger_kernel.transformers.functional", "liger_cross_entropy"),
        installed("quack.cross_entropy", "cross_entropy"),
    )
    if liger is not None:
        contenders["Liger"] = backward(lambda x, y: _first(liger(x, y)))
    if quack is not None:
        contenders["quack"] = backward(lambda x, y: quack(x, y, reduction="mean"))
    return contenders


def _first(value: Any) -> torch.Tensor:
    """The loss of what may be a tuple."""
    return value[0] if isinstance(value, tuple) else value


def softmaxes(*, compiled: bool) -> dict[str, Step]:
    """Softmax: every way that is here."""
    contenders = {
        "crossent": lambda x, _: crossent.softmax(x.detach()),
        "torch": lambda x, _: torch.softmax(x.detach(), -1),
    }
    if compiled:
        torch.compiler.reset()
        function = torch.compile(torch.softmax, dynamic=False)
        contenders["torch.compile"] = lambda x, _: function(x.detach(), -1)
    quack = installed("quack.softmax", "softmax")
    if quack is not None:
        contenders["quack"] = lambda x, _: quack(x.detach())
    return contenders


# --- correctness ---


def worst(ours: torch.Tensor, exact: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest error, in what is allowed: torch's own at that place, an ulp, and the rounding of float32 sums."""
    ulp = torch.finfo(ours.dtype).eps * exact.abs().clamp_min(torch.finfo(ours.dtype).tiny)
    allowed = (theirs.double() - exact).abs() + ulp + 2.0**-21 * exact.abs().amax(-1, keepdim=True)
    return float(((ours.double() - exact).abs() / allowed).max())


def check(rows: int, classes: int, dtype: torch.dtype, device: str) -> float:
    """crossent against float64 on fresh numbers: the larger of the errors of softmax and gradient; fails above 1."""
    generator = torch.Generator(device).manual_seed(time.time_ns() % 2**31)
    x = (torch.randn(rows, classes, device=device, generator=generator) * 4).to(dtype)
    y = torch.randint(0, classes, (rows,), device=device, generator=generator)
    y[0] = -100
    step = backward(F.cross_entropy)
    exact, theirs = (step(z.requires_grad_(), y) for z in (x.double(), x.clone()))
    mine = backward(crossent.cross_entropy)(x.clone().requires_grad_(), y)
    wide = torch.softmax(x.double(), -1)
    error = max(worst(mine, exact, theirs), worst(crossent.softmax(x), wide, torch.softmax(x, -1)))
    loss, reference = crossent.cross_entropy(x, y), F.cross_entropy(x.double(), y)
    error = max(error, float((loss.double() - reference).abs() / (reference * torch.finfo(dtype).eps)))
    if not error <= 1:
        raise SystemExit(f"wrong: {rows}×{classes} {dtype}: {error:.2f} times what is allowed")
    return error


# --- time ---


def timed(step: Step, inputs: Sequence[tuple[torch.Tensor, torch.Tensor]], runs: int) -> list[float]:
    """Milliseconds of each run; by events on the device's own stream, by the clock on a CPU."""
    if not inputs[0][0].is_cuda:
        samples = []
        for run in range(runs):
            started = time.perf_counter()
            step(*inputs[run % len(inputs)])
            samples.append((time.perf_counter() - started) * 1e3)
        return samples
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(runs)]
    for run, (begin, end) in enumerate(pairs):
        begin.record()
        step(*inputs[run % len(inputs)])
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in pairs]


def peak(step: Step, x: torch.Tensor, y: torch.Tensor) -> float:
    """Bytes that a call needs beside what is there."""
    if not x.is_cuda:
        return 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(x, y)
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - before)


class Bench:
    """Runs the contenders of a shape, prints a line for each, and keeps the samples."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.started = time.monotonic()
        self.records: list[dict[str, Any]] = []

    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() - self.started > self.options.budget

    def inputs(self, rows: int, classes: int, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Logits and targets, as many of them as it takes to be out of the caches."""
        device = self.options.device
        number = max(1, min(16, -(-CACHE // (rows * classes * dtype.itemsize))))
        return [
            (
                torch.randn(rows, classes, device=device, dtype=dtype).requires_grad_(),
                torch.randint(0, classes, (rows,), device=device),
            )
            for _ in range(number)
        ]

    def compare(self, work: str, rows: int, classes: int, dtype: torch.dtype, contenders: dict[str, Step]) -> None:
        """All contenders on one shape, a copy of the logits first."""
        try:
            inputs = self.inputs(rows, classes, dtype)
        except torch.OutOfMemoryError:
            print(f"{work} {rows}×{classes} {dtype}: no memory for the input")
            return
        copy = self.measure(work, rows, classes, dtype, "copy", lambda x, _: x.detach().clone(), inputs, None)
        for name, step in contenders.items():
            if self.late():
                print(
                    f"the {self.options.budget} s are over: {work} {rows}×{classes} {name} and what follows is left out"
                )
                return
            try:
                self.measure(work, rows, classes, dtype, name, step, inputs, copy)
            except Exception as error:  # a contender that fails is a result too
                print(f"{work} {rows}×{classes} {name} failed: {error!r}"[:160])

    def measure(
        self,
        work: str,
        rows: int,
        classes: int,
        dtype: torch.dtype,
        name: str,
        step: Step,
        inputs: list[tuple[torch.Tensor, torch.Tensor]],
        copy: float | None,
    ) -> float:
        """The median time of one contender."""
        for pair in inputs[:3] * 2:
            step(*pair)
        need = peak(step, *inputs[0])
        samples = timed(step, inputs, self.options.runs)
        middle = statistics.median(samples)
        share = 1.0 if copy is None else copy / middle
        self.records.append(
            {
                "work": work,
                "rows": rows,
                "classes": classes,
                "dtype": str(dtype),
                "name": name,
                "median_ms": middle,
                "of_copy": share,
                "peak_bytes": need,
                "samples_ms": samples,
            }
        )
        rate = 2 * rows * classes * dtype.itemsize / middle / 1e6
        cells = (f"{middle:.4f}", f"{rate:.0f}", f"{share:.0%}", f"{need / 2**20:.0f}")
        print(LINE.format(work, rows, classes, str(dtype).removeprefix("torch."), name, *cells), flush=True)
        return middle


def environment(device: str) -> dict[str, Any]:
    """The GPU and the versions."""
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            versions[library] = None
    gpu = {}
    if device == "cuda":
        found = torch.cuda.get_device_properties(0)
        gpu = {"name": found.name, "multiprocessors": found.multi_processor_count, "memory": found.total_memory}
    return {"gpu": gpu, "versions": versions, "cuda": torch.version.cuda, "python": platform.python_version()}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the samples go")
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--widths", type=lambda text: [int(part) for part in text.split(",")], default=list(WIDTHS))
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--budget", type=float, default=450, help="seconds after which no further contender begins")
    parser.add_argument("--device", default="cuda", help="cpu only tries the script")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, measure, print the table, write the JSON."""
    options = parse(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no GPU: torch.cuda.is_available() is False", file=sys.stderr)
        return 1
    around = environment(options.device)
    print(json.dumps(around))
    dtypes = (torch.bfloat16, torch.float32)
    widths = [10, *options.widths]
    errors = {f"{classes} {dtype}": check(64, classes, dtype, options.device) for classes in widths for dtype in dtypes}
    print(f"correct: the largest error is {max(errors.values()):.2f} of what is allowed\n")
    print(LINE.format("work", "rows", "classes", "dtype", "", "ms", "GB/s", "of copy", "peak MiB"))
    bench, compiled = Bench(options), not options.no_compile
    for classes in options.widths:
        for dtype in dtypes:
            bench.compare("cross-entropy", options.rows, classes, dtype, losses(compiled=compiled))
    small = SMALL if options.device == "cuda" else ()
    for rows, classes in small:
        bench.compare("small", rows, classes, torch.float32, losses(compiled=False))
    for classes in SOFTMAX_WIDTHS if options.device == "cuda" else options.widths:
        for dtype in dtypes:
            bench.compare("softmax", options.rows, classes, dtype, softmaxes(compiled=compiled))
    if options.json is not None:
        options.json.write_text(json.dumps({**around, "errors": errors, "records": bench.records}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
