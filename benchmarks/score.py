"""`crossent score` on a file that does not fit in memory, and against scikit-learn's log_loss on arrays that do.

    python benchmarks/score.py

The 10 GB are a sparse file: they take no room on the disk, and are read as any other (zeros: the loss is log C).
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS, CLASSES = 2_500_000, 1000  # of float32: 10 GB
CODE = r"""
import re, sys, time
from crossent.score.scoring import score_files
start = time.perf_counter()
found = score_files(*sys.argv[1:3])
peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]  # ru_maxrss would be the parent's
print(found.loss.value, time.perf_counter() - start, int(peak) / 2**20)
"""


def larger_than_memory(folder: Path) -> None:
    """A sparse file of 10 GB: seconds, and the most memory that was resident."""
    with (folder / "z.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (ROWS, CLASSES)})
        file.truncate(file.tell() + ROWS * CLASSES * 4)
    np.save(folder / "y.npy", np.arange(ROWS) % CLASSES)
    words = [sys.executable, "-c", CODE, str(folder / "z.npy"), str(folder / "y.npy")]
    loss, seconds, peak = map(float, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    assert abs(loss - math.log(CLASSES)) < 1e-6
    size = (folder / "z.npy").stat().st_size / 1e9
    print(f"{size:.1f} GB file: {seconds:.0f} s ({size / seconds:.2f} GB/s), {peak:.2f} GiB resident at most")
    (folder / "z.npy").unlink()


def against_log_loss(folder: Path, rows: int, classes: int) -> None:
    """All scores of a file, against scikit-learn's log_loss alone on the same probabilities in memory, in turn."""
    from sklearn.metrics import log_loss

    from crossent.score.scoring import score_files
    from crossent.softmax import softmax

    random = np.random.default_rng(0)
    logits = random.normal(size=(rows, classes)).astype(np.float32)
    y = random.integers(0, classes, rows)
    probabilities = softmax(logits)
    np.save(folder / "z.npy", logits)
    np.save(folder / "p.npy", probabilities)
    np.save(folder / "y.npy", y)
    known, wide = np.arange(classes), softmax(logits.astype(np.float64))
    ratios: dict[str, list[float]] = {"z": [], "p": []}
    for _ in range(5):
        start = time.perf_counter()
        theirs = log_loss(y, wide, labels=known)
        sklearn = time.perf_counter() - start
        for name, found in ratios.items():
            start = time.perf_counter()
            ours = score_files(str(folder / f"{name}.npy"), str(folder / "y.npy"), probabilities=name == "p")
            found.append(sklearn / (time.perf_counter() - start))
            assert abs(ours.loss.value - theirs) < 1e-5 * theirs, (ours.loss.value, theirs)
    shown = ", ".join(
        f"{statistics.median(found):.1f} × ({min(found):.1f} … {max(found):.1f}) from {kind}"
        for kind, found in zip(("logits", "probabilities"), ratios.values(), strict=True)
    )
    print(f"{rows} × {classes}: {shown}; log_loss {sklearn:.2f} s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        against_log_loss(Path(name), 20_000, 1000)
        against_log_loss(Path(name), 1_000_000, 10)
        against_log_loss(Path(name), 2_000, 32_000)
        larger_than_memory(Path(name))
