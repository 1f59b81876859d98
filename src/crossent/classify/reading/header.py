"""Whether the first row of a table names the columns, seen by what the columns hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
    below = [[row[index].strip() for row in rows[1:] if len(row) > index] for index in range(len(first))]
    numbers = all(number_of(cell) is not None or not cell for cell in first)
    again = any(cell in cells and number_of(cell) is not None for cell, cells in zip(first, below, strict=True))
    if _are_places(first) and (numbers or not again):
        return True
    if numbers:
        return False
    rising = _rise(first)
    votes = [_vote(cell, cells, rising) for cell, cells in zip(first, below, strict=True)]
    if votes.count("word above numbers"):
        return True
    values, words = votes.count("value"), votes.count("new word")
    return not values or values < words * (1 if len(set(first)) == len(first) else 0.5)


def _are_places(first: Sequence[str]) -> bool:
    """Whether all numbers are those of their places, as a DataFrame names unnamed columns, or are years that follow."""
    places = [place for place, cell in enumerate(first) if number_of(cell) is not None]
    starts = {int(first[place]) - place if first[place].isdecimal() else None for place in places}
    start = starts.pop() if len(starts) == 1 else None
    if start is None:
        return False
    return start in {0, 1} if len(places) > 2 else len(places) > 1 and all(len(first[place]) == 4 for place in places)


def _rise(first: Sequence[str]) -> bool:
    """Whether three numbers or more rise, as the years or wavelengths do that name columns."""
    numbers = [number for number in map(number_of, first) if number is not None]
    return len(numbers) > 2 and all(one < other for one, other in pairwise(numbers))


def _vote(cell: str, below: Sequence[str], rising: bool) -> str:
    """What a first cell is, by those below it."""
    known = [value for value in below if value]
    numbers = [number for number in map(number_of, known) if number is not None]
    value = number_of(cell)
    if known and len(numbers) >= len(known) / 2:
        if value is not None:
            return "unknown" if rising and not min(numbers) <= value <= max(numbers) else "value"
        is_name = cell and cell not in known and cell.lower() not in MISSING_WORDS
        return "word above numbers" if is_name else "unknown"
    if cell in known:
        return "value"
    return "new word" if len(set(known)) <= len(known) / 2 else "unknown"
