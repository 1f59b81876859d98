"""A linear layer and its loss on a GPU, forward and backward, beside its three products and other libraries.

    python benchmarks/gpu_linear.py [--json linear.json] [--shapes 4096x4096x128256,8192x2304x256000]

A shape is tokens × hidden size × classes, everything in bfloat16. First the gradients are compared with torch's in
float32 on a part of the shape. Then all contenders in rounds, timed by events: the three matrix products alone, that
nobody can do without, torch's own ways, crossent with its default budget of logits and with less, and Liger, CCE and
quack where they are installed. The peak is what a step needs beside its inputs and its gradients. The JSON is written
after every record; when the budget of time is spent the rest is left out and named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import gpu
import torch
import torch.nn.functional as F

import crossent

SHAPES = ((4096, 4096, 128256), (8192, 2304, 256000), (16384, 2048, 151936))
LINE = "{:>6}×{}×{:<7} {:28} {:>10} {:>12} {:>10}"
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def step_of(loss: Loss, x: torch.Tensor, w: torch.Tensor, y: torch.Tensor) -> Callable[[], Any]:
    """A forward and a backward pass."""
    return lambda: torch.autograd.grad(loss(x, w, y), (x, w))


def products(x: torch.Tensor, w: torch.Tensor) -> Callable[[], Any]:
    """The three matrix products alone, into memory that is there."""
    x, w = x.detach(), w.detach()
    z = x @ w.t()
    by_x, by_w = torch.empty_like(x), torch.empty_like(w)

    def run() -> None:
        torch.mm(x, w.t(), out=z)
        torch.mm(z, w, out=by_x)
        torch.mm(z.t(), x, out=by_w)

    return run


def losses(*, compiled: bool, rows: int) -> dict[str, Loss]:
    """Every way that is here."""
    own = crossent.linear_cross_entropy
    found: dict[str, Loss] = {
        "crossent": own,
        f"crossent, chunks of {rows // 4}": lambda x, w, y: own(x, w, y, chunk_size=max(rows // 4, 1)),
        f"crossent, chunks of {rows // 16}": lambda x, w, y: own(x, w, y, chunk_size=max(rows // 16, 1)),
        "torch": lambda x, w, y: F.cross_entropy(x @ w.t(), y),
    }
    if compiled:
        torch.compiler.reset()
        found["torch.compile"] = torch.compile(lambda x, w, y: F.cross_entropy(x @ w.t(), y), dynamic=False)
    if hasattr(F, "linear_cross_entropy"):
        found["torch, chunked"] = F.linear_cross_entropy
    liger = gpu.installed("liger_kernel.ops.fused_linear_cross_entropy", "LigerFusedLinearCrossEntropyFunction")
    if liger is not None:
        found["Liger"] = lambda x, w, y: liger.apply(x, w, y)[0]
    cce = gpu.installed("cut_cross_entropy", "linear_cross_entropy")
    if cce is not None:
        found["CCE"] = cce
    quack = gpu.installed("quack.linear_cross_entropy", "chunked_linear_cross_entropy")
    if quack is not None:
        found["quack"] = quack
        found["quack, without scaled exp"] = lambda x, w, y: quack(x, w, y, use_scaled_exp=False)
    return found


def inputs(shape: tuple[int, int, int], device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, the weight of the layer and targets."""
    rows, size, classes = shape
    x = torch.randn(rows, size, device=device, dtype=torch.bfloat16).requires_grad_()
    w = (torch.randn(classes, size, device=device) / size**0.5).to(torch.bfloat16).requires_grad_()
    return x, w, torch.randint(0, classes, (rows,), device=device)


def right(record: gpu.Record, shape: tuple[int, int, int]) -> None:
    """The gradients on the first rows against torch's in float32, with some rows ignored; a wrong one ends the run."""
    x, w, y = inputs((min(shape[0], 256), *shape[1:]), record.options.device)
    y[::3] = -100
    wide = [part.detach().float().requires_grad_() for part in (x, w)]
    exact = step_of(lambda x, w, y: F.cross_entropy(x @ w.t(), y), wide[0], wide[1], y)()
    for size in (None, 64):
        own = step_of(lambda x, w, y, size=size: crossent.linear_cross_entropy(x, w, y, chunk_size=size), x, w, y)()  # type: ignore[misc]
        errors = [float((a.float() - b).norm() / b.norm()) for a, b in zip(own, exact, strict=True)]
        record.note(work="right", shape=shape, chunk_size=size, errors=errors)
        if not max(errors) <= 4 * torch.finfo(torch.bfloat16).eps:
            raise SystemExit(f"wrong: {shape}, chunks of {size}: relative errors {errors}")


def compare(record: gpu.Record, shape: tuple[int, int, int]) -> None:
    """All contenders on one shape, in rounds."""
    x, w, y = inputs(shape, record.options.device)
    cuda = record.options.device == "cuda"
    contenders = {"three products": products(x, w)}
    for name, loss in losses(compiled=not record.options.no_compile, rows=shape[0]).items():
        contenders[name] = step_of(loss, x, w, y)
    own = 0 if not cuda else (x.numel() + w.numel()) * x.element_size()  # the gradients themselves
    need: dict[str, float] = {}
    for name, step in contenders.items():
        found = record.step(
            f"linear {shape} {name}", lambda step=step: (step(), gpu.peak(lambda *_: step(), x, y) - own)
        )  # type: ignore[misc]
        if found is not None:
            need[name] = found[1]
    times: dict[str, list[float]] = {name: [] for name in need}
    for _ in range(record.options.runs):
        for name in need:
            if not record.late():
                times[name].append(gpu.milliseconds(contenders[name], cuda=cuda))
    for name, samples in times.items():
        if samples:
            middle = statistics.median(samples)
            pairs = zip(samples, times["three products"], strict=False)
            over = statistics.median(a / b for a, b in pairs)
            told = {"of_products": over, "beside_bytes": need[name], "samples_ms": samples}
            record.note(work="linear", shape=shape, name=name, median_ms=middle, **told)
            print(LINE.format(*shape, name, f"{middle:.3f}", f"{over:.3f}", f"{need[name] / 1e6:.0f}"), flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the samples go, after every record")
    parser.add_argument("--shapes", type=_shapes, default=SHAPES, help="tokens x hidden size x classes, …")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--budget", type=float, default=420, help="seconds after which no further step begins")
    parser.add_argument("--device", default="cuda", help="cpu only tries the script")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    return parser.parse_args(arguments)


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    """Shapes from the command line."""
    return tuple(tuple(int(part) for part in shape.split("x")) for shape in text.split(","))


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, measure, print the table, write the JSON; 1 where something failed."""
    options = parse(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no GPU: torch.cuda.is_available() is False", file=sys.stderr)
        return 1
    record = gpu.Record(options, gpu.environment(options.device))
    print(json.dumps(record.around))
    for shape in options.shapes:
        record.step(f"right {shape}", right, record, shape)
    print(LINE.format("tokens", "size", "classes", "", "ms", "of products", "beside MB"))
    for shape in options.shapes:
        record.step(f"linear {shape}", compare, record, shape)
    return 1 if any("failed" in found for found in record.records) else 0


if __name__ == "__main__":
    sys.exit(main())
