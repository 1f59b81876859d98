"""The kernels on a GPU: right first, then time and memory against torch and whoever else is installed.

    python benchmarks/gpu.py [--quick] [--json gpu.json] [--rows 8192] [--widths 1000,8192,32768,128256,262144]

First whether the host waits (torch's sync debug mode), whether a step can be recorded as a CUDA graph, what a
target out of range does, a second stream, and every width against float64. Then each contender as the replay of a
graph of calls on as many inputs as no cache holds, in rounds that go through all contenders: no time of the host is
in it, and each ratio is taken within a round. What a call costs the host is measured apart. "of copy" is the share
of the bandwidth that copying the logits reaches, one read and one write counted: above 90 % there is nothing left to
gain. The peak is what a call needs beside its input. The JSON is written after every record, so that whatever ends
the run leaves it; when the budget of time is spent the rest is left out and named. Liger overwrites its input; for
layers see gpu_linear.py.
"""

from __future__ import annotations

import argparse
import functools
import gc
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
import crossent.checks

WIDTHS = (1000, 8192, 32768, 128256, 262144)
SMALL = ((64, 10), (1024, 1000))
DTYPES = (torch.bfloat16, torch.float32)
CALLS = 50  # of a sample of the host's time
LIBRARIES = ("crossent", "torch", "triton", "liger-kernel", "quack-kernels", "cut-cross-entropy")
CACHE = 256 * 2**20  # bytes that no cache holds
QUICK = {"widths": [1000, 32768, 128256], "runs": 8, "budget": 400.0, "no_compile": True}
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


# --- the record ---


class Record:
    """What has been found so far: printed, and written to the JSON, when it is found."""

    def __init__(self, options: argparse.Namespace, around: dict[str, Any]) -> None:
        self.options, self.around = options, around
        self.started = time.monotonic()
        self.records: list[dict[str, Any]] = []

    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() - self.started > self.options.budget

    def note(self, **found: Any) -> None:
        """Keep a finding."""
        self.records.append(found)
        if self.options.json is not None:
            self.options.json.write_text(json.dumps({**self.around, "records": self.records}, indent=1))

    def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a step; one that fails is a finding too, unless it has killed the device's context."""
        if self.late():
            print(f"the {self.options.budget} s are over: {name} and what follows is left out")
            self.note(work=name, left_out=True)
            return None
        try:
            return function(*arguments)
        except Exception as error:
            print(f"{name} failed: {error!r}"[:300], flush=True)
            self.note(work=name, failed=repr(error)[:300])
            if self.options.device == "cuda":
                torch.cuda.synchronize()  # raises where nothing can go on
            return None
        finally:
            gc.collect()
            if self.options.device == "cuda":
                torch.cuda.empty_cache()


# --- how it behaves ---


def behaviours(device: str) -> dict[str, Callable[[], Any]]:
    """Calls that must neither wait for the device nor depend on the host's looking."""
    x, y = torch.randn(256, 1000, device=device).requires_grad_(), torch.randint(0, 1000, (256,), device=device)
    head, one = torch.randn(5000, 1000, device=device), torch.ones(1000, device=device)

    def step(loss: Callable[[], torch.Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(loss(), x)

    own = crossent.cross_entropy
    return {
        "mean": step(lambda: own(x, y)),
        "rows": step(lambda: own(x, y, reduction="none").sum()),
        "class weights": step(lambda: own(x, y, one)),
        "z-loss and smoothing": step(lambda: own(x, y, z_loss=1e-4, label_smoothing=0.1)),
        "softmax": lambda: crossent.softmax(x.detach()),
        "row_stats": lambda: crossent.row_stats(x.detach(), y),
        "linear": step(lambda: crossent.linear_cross_entropy(x, head, y)),
        "second derivative": lambda: torch.autograd.grad(
            torch.autograd.grad(own(x, y), x, create_graph=True)[0].sum(), x
        ),
    }


def behaves(record: Record, name: str, call: Callable[[], Any]) -> None:
    """A call under torch's sync debug mode, then recorded as a CUDA graph and replayed."""
    call()
    call()
    if record.options.device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        graph.replay()
        torch.cuda.synchronize()
    record.note(work="behaviour", name=name, ok=True)


def bad_target(record: Record) -> None:
    """A target out of range: its row NaN, an error when the host looks, and the context alive."""
    device = record.options.device
    x, y = torch.randn(16, 1000, device=device), torch.zeros(16, dtype=torch.int64, device=device)
    y[7] = 5000
    message = None
    try:
        loss = crossent.cross_entropy(x, y, reduction="none", check=False)
        assert loss.isnan().tolist() == [row == 7 for row in range(16)], loss
        crossent.checks.synchronize()
    except IndexError as error:
        message = str(error)
    assert message is not None, "nothing was raised"
    assert "5000" in message, message
    record.note(work="behaviour", name="target out of range", ok=True, message=message)


def second_stream(record: Record) -> None:
    """The same bits in another stream."""
    x, y = torch.randn(4096, 32768, device="cuda"), torch.randint(0, 32768, (4096,), device="cuda")
    wanted = crossent.cross_entropy(x, y, reduction="none")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found = crossent.cross_entropy(x, y, reduction="none")
    torch.cuda.current_stream().wait_stream(stream)
    assert torch.equal(wanted, found)
    record.note(work="behaviour", name="second stream", ok=True)


# --- time ---


def replay_of(step: Step, inputs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Callable[[], Any]:
    """A step on all inputs, on a GPU as one graph."""
    for pair in (*inputs[:2], *inputs[:2]):
        step(*pair)
    if not inputs[0][0].is_cuda:
        return lambda: [step(*pair) for pair in inputs]
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for pair in inputs:
            step(*pair)
    return graph.replay  # type: ignore[no-any-return]


def milliseconds(replay: Callable[[], Any], *, cuda: bool) -> float:
    """One replay, by events on the device's own stream, by the clock on a CPU."""
    if not cuda:
        started = time.perf_counter()
        replay()
        return (time.perf_counter() - started) * 1e3
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    replay()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


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


def inputs_of(rows: int, classes: int, dtype: torch.dtype, device: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Logits and targets, as many of them as it takes to be out of the caches."""
    number = max(1, min(16, -(-CACHE // (rows * classes * dtype.itemsize)))) if device == "cuda" else 1
    return [
        (
            torch.randn(rows, classes, device=device, dtype=dtype).requires_grad_(),
            torch.randint(0, classes, (rows,), device=device),
        )
        for _ in range(number)
    ]


def compare(record: Record, work: str, shape: tuple[int, int], dtype: torch.dtype, given: dict[str, Step]) -> None:
    """All contenders on one shape in rounds, a copy of the logits among them."""
    inputs, cuda = inputs_of(*shape, dtype, record.options.device), record.options.device == "cuda"
    contenders: dict[str, Step] = {"copy": lambda x, _: x.detach().clone(), **given}
    ready, need = {}, {}
    for name, step in contenders.items():
        replay = record.step(f"{work} {shape[0]}×{shape[1]} {name}", replay_of, step, inputs)
        if replay is not None:
            ready[name], need[name] = replay, peak(step, *inputs[0])
    times: dict[str, list[float]] = {name: [] for name in ready}
    for turn in range(record.options.runs + 2 * cuda):
        for name, replay in ready.items():
            taken = milliseconds(replay, cuda=cuda) / len(inputs)
            if turn >= 2 * cuda:
                times[name].append(taken)
    for name, samples in times.items():
        middle = statistics.median(samples)
        share = statistics.median(a / b for a, b in zip(times.get("copy", samples), samples, strict=True))
        told = {"rows": shape[0], "classes": shape[1], "dtype": str(dtype), "of_copy": share, "samples_ms": samples}
        record.note(work=work, name=name, median_ms=middle, peak_bytes=need[name], **told)
        rate = 2 * shape[0] * shape[1] * dtype.itemsize / middle / 1e6
        cells = (f"{middle:.4f}", f"{rate:.0f}", f"{share:.0%}", f"{need[name] / 2**20:.0f}")
        print(LINE.format(work, *shape, str(dtype).removeprefix("torch."), name, *cells), flush=True)


def host(record: Record, shape: tuple[int, int]) -> None:
    """What a call costs the host: until it returns, and until the device has ended."""
    device = record.options.device
    x, y = inputs_of(*shape, torch.float32, device)[0]
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    steps = {"torch": backward(F.cross_entropy), "crossent": backward(crossent.cross_entropy)}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for turn in range(record.options.runs + 3):
        for name, step in steps.items():
            wait()
            started = time.perf_counter()
            for _ in range(CALLS):
                step(x, y)
            returned = time.perf_counter()
            wait()
            if turn >= 3:
                times[name].append(tuple((t - started) / CALLS * 1e6 for t in (returned, time.perf_counter())))  # type: ignore[arg-type]
    for name, samples in times.items():
        until_return, until_end = (statistics.median(part) for part in zip(*samples, strict=True))
        record.note(work="host", name=name, shape=shape, host_us=until_return, wall_us=until_end, samples_us=samples)
        print(f"host {shape[0]}×{shape[1]} {name}: {until_return:.1f} µs until it returns, {until_end:.1f} in all")


# --- all of it ---


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
    parser.add_argument("--quick", action="store_true", help="three widths, without torch.compile, in seven minutes")
    parser.add_argument("--json", type=Path, help="where the samples go, after every record")
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--widths", type=lambda text: [int(part) for part in text.split(",")], default=list(WIDTHS))
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--budget", type=float, default=1500, help="seconds after which no further step begins")
    parser.add_argument("--device", default="cuda", help="cpu only tries the script")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    if "--quick" in (sys.argv[1:] if arguments is None else arguments):
        parser.set_defaults(**QUICK)
    return parser.parse_args(arguments)


def right(record: Record) -> None:
    """Everything about answers, before anything is timed; a wrong one ends the run."""
    options = record.options
    for name, call in behaviours(options.device).items():
        record.step(f"behaviour {name}", behaves, record, name, call)
    if options.device == "cuda":
        record.step("target out of range", bad_target, record)
        record.step("second stream", second_stream, record)
    errors = {}
    for classes in [10, 1001, *options.widths]:
        for dtype in DTYPES:
            errors[f"{classes} {dtype}"] = check(64, classes, dtype, options.device)
            record.note(work="right", classes=classes, dtype=str(dtype), error=errors[f"{classes} {dtype}"])
    print(f"correct: the largest error is {max(errors.values()):.2f} of what is allowed\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, measure, print the table, write the JSON; 1 where something failed."""
    options = parse(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no GPU: torch.cuda.is_available() is False", file=sys.stderr)
        return 1
    record, compiled = Record(options, environment(options.device)), not options.no_compile
    print(json.dumps(record.around))
    right(record)
    for shape in SMALL if options.device == "cuda" else SMALL[:1]:
        record.step(f"host {shape[0]}×{shape[1]}", host, record, shape)
    print(LINE.format("work", "rows", "classes", "dtype", "", "ms", "GB/s", "of copy", "peak MiB"))
    for classes in options.widths:
        for dtype in DTYPES:
            shape = (options.rows, classes)
            record.step(
                f"cross-entropy {classes}", compare, record, "cross-entropy", shape, dtype, losses(compiled=compiled)
            )
            record.step(f"softmax {classes}", compare, record, "softmax", shape, dtype, softmaxes(compiled=compiled))
    for shape in SMALL if options.device == "cuda" else ():
        record.step(f"small {shape}", compare, record, "small", shape, torch.float32, losses(compiled=False))
    failed = [found for found in record.records if "failed" in found]
    print(f"{len(record.records)} records, {len(failed)} failed, {time.monotonic() - record.started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
