"""Whether the first row of a table names the columns, seen by what the columns hold."""

from __future__ import annotations

from collections.abc import Sequence

from ..numbers import MISSING_WORDS, number_of

__all__ = ["has_header"]


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: its cells are of another kind than those below.

    A word above numbers is a name; a number among the numbers below is none; a word that comes again below it is none.

    Example:
        >>> has_header([["size", "kind"], ["1.5", "rose"], ["2.5", "iris"]])
        True
        >>> has_header([["5.1", "rose"], ["4.9", "iris"], ["7.0", "rose"]])
        False
    """
    if len(rows) < 2:
        return True
    first = [cell.strip() for cell in rows[0]]
    if first in ([str(place + start) for place in range(len(first))] for start in (0, 1)) and len(first) > 2:
        return True
    if all(number_of(cell) is not None or not cell for cell in first):
        return False
    votes = [
        _vote(cell, [row[index].strip() for row in rows[1:] if len(row) > index]) for index, cell in enumerate(first)
    ]
    if votes.count("word above numbers"):
        return True
    return votes.count("value") <= votes.count("new word") * (1 if len(set(first)) == len(first) else 0.5)


def _vote(cell: str, below: list[str]) -> str:
    """What a first cell is, by those below it."""
    known = [value for value in below if value]
    numbers = [number for number in map(number_of, known) if number is not None]
    value = number_of(cell)
    if known and len(numbers) >= len(known) / 2:
        if value is None:
            return (
                "word above numbers" if cell and cell not in known and cell.lower() not in MISSING_WORDS else "unknown"
            )
        return "value" if min(numbers) <= value <= max(numbers) else "unknown"
    if cell in known:
        return "value"
    return "new word" if len(set(known)) <= len(known) / 2 else "unknown"
