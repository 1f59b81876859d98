"""Times in turn, in one process: every round runs each function once, so that a ratio compares neighbours in time."""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

__all__ = ["SLOW_SECONDS", "Budget", "Spread", "Step", "Timings", "measure"]

LEAST_ROUNDS, LEAST_OF_SLOW, MOST_ROUNDS = 5, 3, 4000
SLOW_SECONDS = 0.6
WARM_UP_SECONDS = 0.2


class Step(NamedTuple):
    """A call to time, which gives (value, gradient or None), and the refreshing of its input, which is not timed."""

    run: Callable[[], tuple[Any, Any]]
    prepare: Callable[[], object] | None = None


class Spread(NamedTuple):
    """A median and its quartiles."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Median and quartiles of some numbers; of one number, itself thrice.

        >>> Spread.of([3.0, 1.0, 2.0, 5.0, 4.0])
        Spread(low=2.0, middle=3.0, high=4.0)
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, middle, high)

    def inverse(self) -> Spread:
        """The spread of 1/x."""
        return Spread(1 / self.high, 1 / self.middle, 1 / self.low)


class Budget(NamedTuple):
    """How long to go on: for so many rounds, or (None) while the seconds last."""

    seconds: float
    runs: int | None = None


@dataclass(frozen=True)
class Timings:
    """Seconds of each function by round; a round in which it sat out has no entry."""

    rounds: Sequence[Mapping[str, float]]

    def seconds(self, name: str) -> list[float]:
        """The times of one function."""
        return [times[name] for times in self.rounds if name in times]

    def ratio(self, name: str, to: str) -> Spread:
        """How many times as long as another a function takes, over the rounds that ran both.

        >>> Timings([{"a": 2.0, "b": 1.0}, {"a": 9.0, "b": 3.0}, {"b": 1.0}]).ratio("a", "b")
        Spread(low=2.25, middle=2.5, high=2.75)
        """
        return Spread.of([times[name] / times[to] for times in self.rounds if name in times and to in times])


def measure(
    steps: Mapping[str, Step],
    first: str,
    budget: Budget,
    warm: Collection[str] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Time the steps in rounds, each in an order of its own, lest one always follow the same other one.

    One that has had its share of the seconds sits out, once it has run often enough; `first`, where it is there, never
    does, so that every time has one of `first` beside it. What is `warm` has run long enough before. Slow peers
    do not end the rounds of quick ones while `first` has its share left.
    """
    names, random = list(steps), Random(0)
    spent, runs = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    rounds: list[dict[str, float]] = []
    quota = budget.seconds / len(names)
    for name in names:
        if name not in warm:
            _warm_up(steps[name], clock)
    with _without_garbage_collection():
        for _ in range(budget.runs or MOST_ROUNDS):
            time_left = sum(spent.values()) < budget.seconds or spent.get(first, math.inf) < quota
            share = quota if time_left else 0.0
            random.shuffle(names)
            due = [name for name in names if budget.runs or _is_due(spent[name], runs[name], share)]
            if not due:
                break
            if first in steps and first not in due:
                due.append(first)
            rounds.append({name: _seconds(steps[name], clock) for name in due})
            for name in due:
                spent[name] += rounds[-1][name]
                runs[name] += 1
    return Timings(rounds)


def _is_due(spent: float, runs: int, share: float) -> bool:
    """Whether a step has to run again: too few times so far, or some of its share of the seconds left."""
    least = LEAST_ROUNDS if spent < SLOW_SECONDS * runs or not runs else LEAST_OF_SLOW
    return runs < least or spent < share


def _seconds(step: Step, clock: Callable[[], float]) -> float:
    """The time of one call, what it returns freed within."""
    if step.prepare is not None:
        step.prepare()
    started = clock()
    step.run()
    return clock() - started


def _warm_up(step: Step, clock: Callable[[], float]) -> None:
    """A call, and quick ones again for a while: caches, thread pools and clock rates settle."""
    until = clock() + WARM_UP_SECONDS
    _seconds(step, clock)
    for _ in range(100):
        if clock() > until:
            break
        _seconds(step, clock)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """No collection in the middle of a timing."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
