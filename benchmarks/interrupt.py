"""How long Ctrl-C takes within a kernel: python benchmarks/interrupt.py [GiB]. The matrix is 2 GiB unless told."""

from __future__ import annotations

import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

import crossent

TIMES = 9


def answered(work: Callable[[], object], whole: float, share: float) -> float:
    """Seconds from SIGINT, sent when this share of the work's time is over, to the KeyboardInterrupt."""
    sent = []

    def send() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(whole * share, send)
    timer.start()
    try:
        while True:  # a call that ended before the signal came is made again
            work()
    except KeyboardInterrupt:
        return time.perf_counter() - sent[0]
    finally:
        timer.join()


def main() -> None:
    """Measure and say."""
    gibibytes = float(sys.argv[1]) if len(sys.argv) > 1 else 2
    x = np.ones((int(gibibytes * 2**30 / 4 / 32768), 32768), np.float32)
    y = np.zeros(len(x), np.int64)
    works: dict[str, Callable[[], object]] = {
        "cross_entropy": lambda: crossent.cross_entropy(x, y),
        "softmax": lambda: crossent.softmax(x, 1),
    }
    for name, work in works.items():
        begin = time.perf_counter()
        work()
        whole = time.perf_counter() - begin
        times = [answered(work, whole, (place + 1) / (TIMES + 1)) for place in range(TIMES)]
        print(
            f"{name}, {gibibytes:g} GiB: {whole:.2f} s whole; interrupted after {statistics.median(times):.3f} s "
            f"(median of {TIMES}), {max(times):.3f} s at most"
        )


if __name__ == "__main__":
    main()
