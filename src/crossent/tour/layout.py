"""Text on a terminal: display width, wrapping and tables where a Chinese character takes two columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

__all__ = ["pad", "table", "width", "wrap"]

CLOSING = "，。；：、？！）》」』”’"
WORDS = re.compile(rf"\s+|(?:[^\s\u2e80-\uffff]+|[\u2e80-\uffff])[{CLOSING}]*")


def width(text: str) -> int:
    """Count the terminal columns that the text takes: two for a wide character, none for a combining one."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, columns: int) -> str:
    """Fill the text with spaces up to that many terminal columns."""
    return text + " " * (columns - width(text))


def wrap(text: str, columns: int) -> Iterator[str]:
    """Break the text into lines: between words, or between Chinese characters but never before closing punctuation."""
    line = ""
    for word in WORDS.findall(text):
        if line and width(line + word.rstrip()) > columns:
            yield line.rstrip()
            line = ""
        line += word if line or word.strip() else ""
    if line.strip():
        yield line.rstrip()


def table(rows: Sequence[Sequence[str]], separator: str) -> Iterator[str]:
    """Align the cells of each column."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield separator.join(map(pad, row, widths)).rstrip()
