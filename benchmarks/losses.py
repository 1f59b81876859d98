"""The losses against torch's, forward and backward, in pairs in one process: median times and the ratio's spread.

    python benchmarks/losses.py [--runs 30] [--threads 2]

The ratio is torch's time over xent's, pair by pair, with its quartiles: above 1 xent is faster. Beside them a copy of
the logits, the least that any loss with a gradient must move.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

import xent

SHAPES = [(32, 2), (64, 10), (200, 10), (512, 128), (256, 1000), (2048, 1000), (8192, 1000), (512, 32000)]
ROW = "{:34} {:>10} {:>10} {:>10} {:>22}"


def timed(function: Callable[[], object]) -> float:
    """Microseconds of one call."""
    started = time.perf_counter()
    function()
    return (time.perf_counter() - started) * 1e6


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object], copy: Callable[[], object], runs: int):
    """Time the three in turn, and print a row."""
    for function in (ours, theirs, copy) * 3:
        function()
    times = [(timed(ours), timed(theirs), timed(copy)) for _ in range(runs)]
    ratios = sorted(theirs / ours for ours, theirs, _ in times)
    low, middle, high = ratios[len(ratios) // 4], statistics.median(ratios), ratios[3 * len(ratios) // 4]
    figures = [f"{statistics.median(column):.0f}" for column in zip(*times, strict=True)]
    print(ROW.format(name, *figures, f"{middle:.2f} ({low:.2f} … {high:.2f})"), flush=True)


def backward(loss: Callable[..., torch.Tensor], x: torch.Tensor, *target: torch.Tensor) -> Callable[[], None]:
    """A forward and a backward pass as one call."""

    def step() -> None:
        x.grad = None
        loss(x, *target).backward()

    return step


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(ROW.format("forward + backward, float32, µs", "xent", "torch", "copy", "torch / xent"))
    for rows, classes in SHAPES:
        x, y = torch.randn(rows, classes, requires_grad=True), torch.randint(0, classes, (rows,))
        runs = options.runs * 10 if rows * classes < 1e6 else options.runs // 3
        steps = (backward(loss, x, y) for loss in (xent.cross_entropy, F.cross_entropy))
        compare(f"cross_entropy {rows}×{classes}", *steps, x.detach().clone, runs)
    for size in (200, 1_000_000):
        x, y = torch.randn(size, requires_grad=True), torch.rand(size)
        runs = options.runs * 10 if size < 1e6 else options.runs
        pair = (xent.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits)
        steps = (backward(loss, x, y) for loss in pair)
        compare(f"binary with logits {size}", *steps, x.detach().clone, runs)
    for rows, classes in ((64, 10), (8192, 1000)):
        x = torch.randn(rows, classes)
        compare(
            f"softmax {rows}×{classes}", lambda x=x: xent.softmax(x), lambda x=x: x.softmax(-1), x.clone, options.runs
        )


if __name__ == "__main__":
    main()
