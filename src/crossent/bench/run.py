"""Runs a case: every peer is checked against float64, and what is right is timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .cases import CROSSENT, Case
from .inputs import Inputs, inputs_of
from .machine import Others
from .measure import SLOW_SECONDS, Budget, Step, Timings, measure
from .peers import FLOORS, PEERS, Peer, asked, is_installed
from .reference import OF_PEERS, answer_of, fault
from .results import Result, timed_rows

__all__ = ["Plan", "run"]

NOT_IN_BUILD = "not in this build"
SMALL_ELEMENTS = 1 << 20


class Plan(NamedTuple):
    """How to run: seconds a case, rounds (None: as many as fit), and the peers to leave out."""

    seconds: float
    runs: int | None = None
    without: frozenset[str] = frozenset()


def run(case: Case, plan: Plan, say: Callable[[str], object] = lambda _: None) -> Result:
    """Time a case; `say` is told what is being done."""
    if case.arrays == "torch" and not is_installed("torch"):
        return Result(
            case,
            timed_rows(case, Timings([]), [CROSSENT], {CROSSENT: "needs PyTorch: install the extra crossent[torch]"}),
        )
    inputs = inputs_of(case)
    steps, notes, warm = _checked(case, inputs, [peer for peer in asked(case) if peer.name not in plan.without], say)
    say("timing")
    seconds = plan.seconds if case.size >= SMALL_ELEMENTS else plan.seconds / 3
    others = Others()
    timings = measure(steps, CROSSENT, Budget(seconds, plan.runs), warm) if steps else Timings([])
    names = [peer.name for peer in PEERS if peer.name in steps or peer.name in notes]
    return Result(case, timed_rows(case, timings, names, notes), others.share())


def _checked(
    case: Case, inputs: Inputs, peers: Sequence[Peer], say: Callable[[str], object]
) -> tuple[dict[str, Step], dict[str, str], set[str]]:
    """The steps that give the right answer, why the others do not run, and which took long enough to be warm."""
    steps: dict[str, Step] = {}
    notes: dict[str, str] = {}
    warm: set[str] = set()
    for peer in peers:
        say(peer.name)
        started = time.perf_counter()
        try:
            step = peer.step(case, inputs)
            if step is None:
                if peer.name == CROSSENT:
                    notes[CROSSENT] = NOT_IN_BUILD
                continue
            wrong = None if peer.name in FLOORS else _fault(case, step, 1.0 if peer.name == CROSSENT else OF_PEERS)
        except Exception as error:  # a peer that fails is shown as such, and the others go on
            notes[peer.name] = (
                f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error) else repr(error)
            )
            continue
        if wrong is not None:
            notes[peer.name] = f"wrong, not timed: {wrong}"
            continue
        steps[peer.name] = step
        if time.perf_counter() - started > SLOW_SECONDS and peer.name not in FLOORS:
            warm.add(peer.name)
    return steps, notes, warm


def _fault(case: Case, step: Step, slack: float) -> str | None:
    """Run a step once and hold its result against float64."""
    if step.prepare is not None:
        step.prepare()
    value, gradients = step.run()
    return fault(case, answer_of(case), value, gradients, slack)
