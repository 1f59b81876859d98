"""The process that measures one peer's peak memory: `python -m crossent.bench.child ORDER`, an order in JSON."""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any

from .cases import Case, shrunk
from .inputs import Inputs
from .machine import set_threads
from .measure import Step
from .peers import PEERS, Peer

__all__ = ["main"]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


def main(order: str) -> dict[str, Any]:
    """Carry out an order: the bytes by which the peak exceeds the inputs, or a note that says why there are none."""
    given = json.loads(order)
    case = Case(**{**given["case"], "shape": tuple(given["case"]["shape"]), "goals": ()})
    peer = next(peer for peer in PEERS if peer.name == given["peer"])
    set_threads(given["threads"])
    _warm_up(peer, case)
    step = peer.step(case, Inputs(case))
    if step is None:
        return {"note": "not in this build"}
    try:
        return {"bytes": _rise(step, case)}
    except OSError:
        return {"note": "not measured: needs Linux's /proc/self/clear_refs"}


def _warm_up(peer: Peer, case: Case) -> None:
    """Imports, thread pools and the like are no part of a call's memory."""
    tiny = shrunk(case, 64)
    step = peer.step(tiny, Inputs(tiny))
    if step is not None:
        for _ in range(2):
            _prepared(step).run()


def _rise(step: Step, case: Case) -> int:
    """The rise of the resident memory to its peak during a call; of a linear layer without the gradients given back."""
    _prepared(step)
    _give_back()
    CLEAR.write_text(RESET_PEAK)
    before = _status("VmRSS")
    _, gradients = step.run()
    rise = _status("VmHWM") - before
    given_back = sum(part.nbytes for part in gradients) if case.work == "linear" and gradients else 0
    return max(0, rise - given_back)


def _prepared(step: Step) -> Step:
    """The step, its input fresh."""
    if step.prepare is not None:
        step.prepare()
    return step


def _give_back() -> None:
    """Return what is free to the system, lest it be used again unseen."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


def _status(field: str) -> int:
    """A field of the process's status, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
