"""What a benchmark found: rows of a case, as they are shown, plotted and written as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .cases import CROSSENT, MEBIBYTE, Case, Goal
from .measure import Spread, Timings

__all__ = ["NOISY", "Result", "Row", "as_json", "bytes_row", "is_noisy", "noise", "timed_rows"]

NOISY, DISTURBED = 0.2, 0.05
SECONDS, BYTES = "s", "bytes"


@dataclass(frozen=True)
class Row:
    """A peer's figure, and how it stands to crossent's; `note` says why there is none.

    `ratio` is the peer's time over crossent's, or the bytes over those of the logits.
    """

    peer: str
    unit: str = SECONDS
    value: Spread | None = None
    runs: int = 0
    ratio: Spread | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none, or no figure."""
        if self.goal is None or self.value is None:
            return None
        if self.goal.of == MEBIBYTE:
            return self.goal.met(self.value.middle / 2**20)
        return None if self.ratio is None else self.goal.met(self.ratio.middle)


@dataclass(frozen=True)
class Result:
    """A case and its rows, crossent's first; `others` is the share of the processor that other programs took."""

    case: Case
    rows: Sequence[Row]
    others: float | None = None

    @property
    def disturbed(self) -> bool:
        """Whether other programs ran: two busy threads on one core wait for each other, and every ratio shifts."""
        return self.others is not None and self.others > DISTURBED


def timed_rows(case: Case, timings: Timings, names: Sequence[str], notes: dict[str, str]) -> list[Row]:
    """A row for each name, its ratio to crossent over the rounds; a note alone for what was not timed."""
    rows = []
    for name in names:
        seconds = timings.seconds(name)
        if not seconds:
            rows.append(Row(name, goal=case.goal(name), note=notes.get(name, "")))
            continue
        ratio = None if name == CROSSENT or not timings.seconds(CROSSENT) else timings.ratio(name, CROSSENT)
        rows.append(Row(name, SECONDS, Spread.of(seconds), len(seconds), ratio, case.goal(name)))
    return rows


def bytes_row(case: Case, name: str, extra: float | None, logits: int, note: str = "") -> Row:
    """A peer's peak memory beyond its inputs, against the size of the logits."""
    goal = case.goal(CROSSENT) if name == CROSSENT else None
    if extra is None:
        return Row(name, BYTES, goal=goal, note=note)
    return Row(name, BYTES, Spread.of([extra]), 1, Spread.of([extra / logits]), goal)


def is_noisy(ratio: Spread) -> bool:
    """Whether the quartiles of a ratio lie so far apart that its median says little."""
    return ratio.high - ratio.low > NOISY * ratio.middle


def noise(results: Sequence[Result]) -> tuple[int, int]:
    """How many ratios of times are noisy, of how many."""
    ratios = [row.ratio for result in results for row in result.rows if row.unit == SECONDS and row.ratio is not None]
    return sum(map(is_noisy, ratios)), len(ratios)


def as_json(
    suite: str, command: str, machine: dict[str, Any], options: dict[str, Any], results: Sequence[Result]
) -> dict[str, Any]:
    """The whole run as JSON's types: seconds and bytes, medians and quartiles."""
    return {
        "suite": suite,
        "command": command,
        "machine": machine,
        "options": options,
        "results": [
            {
                "name": result.case.name,
                "case": dataclasses.asdict(result.case),
                "others": result.others,
                "rows": [_row_as_json(row) for row in result.rows],
            }
            for result in results
        ],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    """A row as JSON's types."""
    return {
        "peer": row.peer,
        "unit": row.unit,
        "value": None if row.value is None else row.value._asdict(),
        "runs": row.runs,
        "ratio": None if row.ratio is None else row.ratio._asdict(),
        "goal": None if row.goal is None else str(row.goal),
        "met": row.met,
        "note": row.note,
    }
