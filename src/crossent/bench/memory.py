"""Peak memory: each peer computes a case in a fresh process, which tells how far its resident memory rose."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable

from .cases import CHUNKED, CROSSENT, EAGER, OPTAX, Case
from .peers import PEERS, is_installed
from .results import Result, Row, bytes_row

__all__ = ["measure_memory"]

MEASURED = (CROSSENT, EAGER, CHUNKED)
BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
MOST_SECONDS = 300
# torch's own loss of a linear layer would take three times this at its largest; other programs need memory too.
MOST_LOGITS = 3 << 29


def measure_memory(case: Case, threads: int, say: Callable[[str], object] = lambda _: None) -> Result:
    """The peak of a case beyond its inputs, crossent's and torch's."""
    logits = case.size * BYTES[case.dtype]
    if case.arrays == "jax":
        return _compiled(case, logits)
    rows = []
    for name in MEASURED:
        peer = next(peer for peer in PEERS if peer.name == name)
        if not is_installed(peer.package) or (name == CHUNKED and case.work != "linear"):
            continue
        say(name)
        rows.append(_row(case, name, logits, threads))
    return Result(case, rows)


def _compiled(case: Case, logits: int) -> Result:
    """What XLA says that it has laid out beside the arguments and the results of a compiled case."""
    if not is_installed("jax") or not is_installed("optax"):
        return Result(case, [bytes_row(case, CROSSENT, None, logits, "needs JAX and optax")])
    from .peers import of_jax

    return Result(
        case, [bytes_row(case, name, of_jax.temporaries(case, name), logits, "") for name in (CROSSENT, OPTAX)]
    )


def _row(case: Case, name: str, logits: int, threads: int) -> Row:
    """A peer's row, measured in a process of its own."""
    if name == EAGER and logits > MOST_LOGITS:
        return bytes_row(case, name, None, logits, "not run: it would store several times the logits")
    order = json.dumps({"case": dataclasses.asdict(case) | {"goals": ()}, "peer": name, "threads": threads})
    words = [sys.executable, "-m", "crossent.bench.child", order]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return bytes_row(case, name, None, logits, f"not done after {MOST_SECONDS} s")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return bytes_row(case, name, None, logits, last)
    told = json.loads(done.stdout.splitlines()[-1])
    return bytes_row(case, name, told.get("bytes"), logits, told.get("note", ""))
