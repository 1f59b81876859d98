"""The table that a person reads: a block a case, a line a peer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .cases import LOGITS
from .peers import FLOORS
from .results import BYTES, NOISY, SECONDS, Result, Row, is_noisy, noise

__all__ = ["block", "heading", "quantity", "summary"]

LINE = "  {:<24}{:>10}  {:>5}  {:<46}{:<21}{}"
TIMES = ("", "median", "runs", "crossent against it (quartiles)", "goal", "")
SIZES = ("", "peak", "", "beyond the inputs, against the logits", "goal", "")


def heading(unit: str = SECONDS) -> str:
    """The names of the columns."""
    return LINE.format(*(TIMES if unit == SECONDS else SIZES)).rstrip()


def block(result: Result) -> Iterator[str]:
    """The lines of a case: its name, then its rows."""
    yield ""
    yield result.case.name
    for row in result.rows:
        yield _line(row)
    if result.disturbed:
        yield f"  warning: other programs took {result.others:.0%} of the processor meanwhile: these ratios mean little"


def _line(row: Row) -> str:
    """A row: figure, ratio, goal, and whether it is met."""
    goal = "" if row.goal is None else str(row.goal)
    if row.value is None:
        return LINE.format(row.peer, "–", "", row.note + "  " * bool(row.note), goal, "").rstrip()
    runs = "" if row.unit == BYTES else row.runs
    verdict = {None: "", True: "met", False: "missed"}[row.met]
    return LINE.format(row.peer, quantity(row.value.middle, row.unit), runs, _against(row), goal, verdict).rstrip()


def _against(row: Row) -> str:
    """The ratio in the words of the goal: crossent's speed for peers, its time for floors, and sizes as they are.

    >>> from .measure import Spread
    >>> _against(Row("JAX", ratio=Spread(2.0, 2.5, 3.0)))
    '2.50 × its speed (2.00 … 3.00), noisy'
    >>> _against(Row("copy of the logits", ratio=Spread(0.5, 0.5, 0.5)))
    '2.00 × its time (2.00 … 2.00)'
    """
    if row.ratio is None:
        return row.note
    if row.unit == BYTES:
        return f"{row.ratio.middle:.3f} × {LOGITS}"
    of = row.goal.of if row.goal is not None else "time" if row.peer in FLOORS else "speed"
    low, middle, high = row.ratio.inverse() if of == "time" else row.ratio
    return f"{middle:.2f} × its {of} ({low:.2f} … {high:.2f}){', noisy' if is_noisy(row.ratio) else ''}"


def quantity(value: float, unit: str) -> str:
    """Seconds or bytes with three digits and the unit that suits them.

    >>> quantity(0.0791, "s"), quantity(43e-6, "s"), quantity(549_453_824, "bytes")
    ('79.1 ms', '43 µs', '524 MiB')
    """
    if unit == BYTES:
        return f"{value / 2**20:.3g} MiB" if value < 1000 * 2**20 else f"{value / 2**20:.0f} MiB"
    for name, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale or name == "µs":
            break
    return f"{value / scale:.3g} {name}" if value < 999.5 * scale else f"{value / scale:.0f} {name}"


def summary(results: Sequence[Result]) -> Iterator[str]:
    """How many goals are met, which are missed, and whether the machine was quiet enough to tell."""
    judged = [(result.case, row) for result in results for row in result.rows if row.met is not None]
    if judged:
        yield ""
        yield f"goals met: {sum(bool(row.met) for _, row in judged)} of {len(judged)}"
        for case, row in judged:
            if not row.met:
                yield f"  missed: {case.name}: {row.peer}: {_against(row)}, goal {row.goal}"
    noisy, of = noise(results)
    if noisy:
        yield ""
        yield (
            f"warning: the machine is noisy: the quartiles of {noisy} of {of} ratios lie more than {NOISY:.0%} of the "
            "median apart; end other programs, or give more --runs"
        )
    if disturbed := sum(result.disturbed for result in results):
        yield f"warning: other programs ran during {disturbed} of {len(results)} cases"
