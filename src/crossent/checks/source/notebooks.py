"""Notebooks: their code cells as one text, and the place of each of its lines in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from .sources import Source, Trouble, parsed

__all__ = ["CellText", "file_lines", "notebook", "sources_of"]

MAGIC = re.compile(r"^(\s*)(?:[%!?].*|.*[^#\s]\?{1,2}\s*)$")
ASSIGNED_MAGIC = re.compile(r"^(\s*[\w, .]+=\s*)[%!].*$")
TRANSPARENT_CELLS = ("time", "timeit", "capture", "prun")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)


def notebook(path: str, data: bytes) -> Source:
    """The code cells one after another; a cell that is no Python is named, its lines kept empty."""
    try:
        content = json.loads(data.decode("utf-8", errors="replace"))
        cells = _cells(content)
    except (ValueError, RecursionError, TypeError, AttributeError) as error:
        line = getattr(error, "lineno", 1)
        return Source(path, troubles=[Trouble("invalid-syntax", "is not a notebook", line)], data=data)
    source = Source(path, data=data)
    lines: list[str] = []
    for number, cell in cells:
        raw, code = _raw_lines(cell), _without_magics(cell)
        trouble = parsed("\n".join(code))[1] if any(code) else None
        if trouble is not None:
            source.troubles.append(Trouble(trouble.rule, trouble.why, len(lines) + trouble.line, trouble.column))
            code = [""] * len(code)
        lines += code
        source.raw += raw
        source.cells += [(number, line) for line in range(1, len(code) + 1)]
    source.text = "\n".join(lines) + "\n"
    if not source.interesting:
        source.troubles.clear()
    return source


def _cells(content: Any) -> list[tuple[int, str]]:
    """(number, code) of the code cells, counted from 1 among all cells; also of notebooks of version 3."""
    cells = content.get("cells")
    if cells is None:
        cells = [cell for sheet in content.get("worksheets", []) for cell in sheet.get("cells", [])]
    found = []
    for number, cell in enumerate(cells, start=1):
        code = cell.get("source", cell.get("input", ""))
        if cell.get("cell_type") == "code":
            found.append((number, code if isinstance(code, str) else "".join(map(str, code))))
    return found


def _raw_lines(code: str) -> list[str]:
    return code.replace("\r\n", "\n").replace("\x00", "").split("\n")


def _without_magics(code: str) -> list[str]:
    """The lines of a cell, magics and shell commands replaced by `pass`, cells in other languages emptied."""
    lines = _raw_lines(code)
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and first[2:].split(" ")[0] not in TRANSPARENT_CELLS:
        return [""] * len(lines)
    if parsed("\n".join(lines))[0] is not None:
        return lines
    return [ASSIGNED_MAGIC.sub(r"\1None", MAGIC.sub(r"\1pass", line)) for line in lines]


# ---------------------------------------------------------------------- places in the file


class CellText(NamedTuple):
    """Where a code cell's source stands in the notebook's text: the value as a whole, and each string in it."""

    start: int
    end: int
    strings: list[tuple[int, int]]
    is_list: bool


@lru_cache(maxsize=8)
def sources_of(text: str) -> dict[int, CellText]:
    """The source of each cell, by its number from 1, found in the text without changing it."""
    found: dict[int, CellText] = {}
    path: list[Any] = []
    tokens = TOKEN.finditer(text)
    for match in tokens:
        token = match[0]
        if token == "{":
            path.append(None)
        elif token == "[":
            path.append(0)
        elif token in "}]":
            path.pop()
        elif token == "," and path and isinstance(path[-1], int):
            path[-1] += 1
        elif token.startswith('"') and path and not isinstance(path[-1], int):
            name = json.loads(token, strict=False) if len(token) < 100 else ""
            if name in ("source", "input") and len(path) in (3, 5) and isinstance(path[-2], int):
                next(tokens)  # the colon
                number = path[-2] + 1
                found.setdefault(number, _value(tokens))
    return found


def _value(tokens: Iterator[re.Match[str]]) -> CellText:
    """A string, or a list of strings, whose first token comes next."""
    first = next(tokens)
    if first[0] != "[":
        return CellText(first.start(), first.end(), [(first.start(), first.end())], is_list=False)
    strings: list[tuple[int, int]] = []
    for match in tokens:
        if match[0] == "]":
            return CellText(first.start(), match.end(), strings, is_list=True)
        if match[0] != ",":
            strings.append((match.start(), match.end()))
    return CellText(first.start(), first.end(), strings, is_list=True)


def file_lines(source: Source, line: int) -> int:
    """The line of the notebook's own text that holds a line of its cells; 1 where it cannot be told."""
    cell, inner = source.cells[line - 1]
    text = source.data.decode("utf-8", errors="replace")
    where = sources_of(text).get(cell)
    if where is None or not where.strings:
        return 1
    begun = 1
    for start, end in where.strings:
        content = json.loads(text[start:end], strict=False)
        begun += content.count("\n")
        if begun > inner or (start, end) == where.strings[-1]:
            return text.count("\n", 0, start) + 1
    return 1
