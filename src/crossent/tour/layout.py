"""Text on a terminal: display width, wrapping, tables and bars, where a Chinese character takes two columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

__all__ = ["bars", "pad", "table", "width", "wrap"]

CLOSING = "，。；：、？！）》」』”’"
WORDS = re.compile(rf"\s+|(?:[^\s\u2e80-\uffff]+|[\u2e80-\uffff])[{CLOSING}]*")
MOST_BARS, LONGEST = 8, 30
EIGHTHS = " ▏▎▍▌▋▊▉"


def width(text: str) -> int:
    """Count the terminal columns that the text takes: two for a wide character, none for a combining one."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, columns: int) -> str:
    """Fill the text with spaces up to that many terminal columns."""
    return text + " " * (columns - width(text))


def wrap(text: str, columns: int) -> Iterator[str]:
    """Break the text into lines: between words, or between Chinese characters but never before closing punctuation.

    No last line has a single Chinese character: one more comes down to it.
    """
    lines: list[list[str]] = [[]]
    for word in WORDS.findall(text):
        if lines[-1] and width("".join(lines[-1]) + word.rstrip()) > columns:
            lines.append([])
        if lines[-1] or word.strip():
            lines[-1].append(word)
    if len(lines) > 1 and _lonely(lines[-1]) and len(lines[-2]) > 2:
        lines[-1].insert(0, lines[-2].pop())
    yield from ("".join(line).rstrip() for line in lines if line)


def _lonely(line: list[str]) -> bool:
    """Whether a line has one Chinese character and nothing but its punctuation."""
    text = "".join(line).strip().rstrip(CLOSING)
    return len(text) == 1 and width(text) == 2


def table(rows: Sequence[Sequence[str]], separator: str) -> Iterator[str]:
    """Align the cells of each column."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield separator.join(map(pad, row, widths)).rstrip()


def bars(values: Sequence[float], word: str, columns: int, *, plain: bool) -> Iterator[str]:
    """Draw a bar for each number, at most eight of them evenly chosen; plain bars are of ASCII."""
    last = len(values) - 1
    places = range(last + 1) if last < MOST_BARS else [round(k * last / (MOST_BARS - 1)) for k in range(MOST_BARS)]
    largest = max(values[place] for place in places) or 1.0
    longest = width(f"{word} {last}")
    room = min(LONGEST, columns - longest - len(f" {largest:.4f}") - 2)
    for place in places:
        bar = _bar(room * values[place] / largest, plain=plain)
        yield f"{pad(f'{word} {place}', longest)} {bar} {values[place]:.4f}"


def _bar(length: float, *, plain: bool) -> str:
    """A bar of that many columns: in eighths of a column, or in whole ones."""
    if plain:
        return "#" * round(length)
    whole, part = divmod(round(length * 8), 8)
    return "█" * whole + (EIGHTHS[part] if part else "")
