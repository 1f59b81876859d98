"""Files as they are written back: in their encoding, with their line ends; a notebook with only the cells changed."""

from __future__ import annotations

import codecs
import json
import re

from ..source.notebooks import sources_of
from ..source.sources import Source, encoding_of
from .edits import CannotEditError, Edit, applied

__all__ = ["changed"]


def changed(source: Source, edits: list[Edit]) -> bytes:
    """The file's bytes after the changes.

    Raises
    ------
    CannotEditError
        Where a change would touch what the parser did not see (a magic), or the file has mixed line ends.
    """
    return _notebook(source, edits) if source.cells else _script(source, edits)


def _script(source: Source, edits: list[Edit]) -> bytes:
    encoding = encoding_of(source.data)
    text = source.data.decode(encoding)
    ends = set(re.findall(r"\r\n|\r|\n", text))
    if len(ends) > 1:
        raise CannotEditError("the file has mixed line ends")
    end = ends.pop() if ends else "\n"
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines = text.removeprefix("\ufeff").replace(end, "\n").split("\n")
    after = mark + "\n".join(applied(lines, edits)).replace("\n", end)
    if encoding == "utf-16":
        order = "utf-16-le" if source.data.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
        return source.data[:2] + after.encode(order)
    return after.encode(encoding)


def _notebook(source: Source, edits: list[Edit]) -> bytes:
    """Only the strings of the cells that change are written anew, in the form that they had."""
    lines = source.lines[: len(source.raw)]
    for edit in edits:
        touched = range(edit.line - 1, min(edit.end_line, len(lines)))
        if any(
            lines[number] != source.raw[number] for number in touched if edit.end_column or number < edit.end_line - 1
        ):
            raise CannotEditError("a magic stands on its line")
    text = source.data.decode("utf-8")
    places = sources_of(text)
    numbers = {source.cells[edit.line - 1][0] for edit in edits}
    for number in sorted(numbers, reverse=True):
        where = places.get(number)
        if where is None:
            raise CannotEditError(f"cell {number} cannot be found in the file")
        rows = [index for index, (cell, _) in enumerate(source.cells) if cell == number]
        own = [e for e in edits if source.cells[e.line - 1][0] == number]
        moved = [e._replace(line=e.line - rows[0], end_line=e.end_line - rows[0]) for e in own]
        after = "\n".join(applied([source.raw[row] for row in rows], moved))
        text = text[: where.start] + _cell(text, where.start, where.is_list, after) + text[where.end :]
    return text.encode("utf-8")


def _cell(text: str, start: int, is_list: bool, code: str) -> str:
    """The code as the notebook writes it: a list of lines with the indentation that it had, or one string."""
    ascii_only = text.isascii()
    if not is_list:
        return json.dumps(code, ensure_ascii=ascii_only)
    rows = [json.dumps(row, ensure_ascii=ascii_only) for row in code.splitlines(keepends=True)]
    match = re.match(r"\[(\s*)", text[start : start + 200])
    gap = match[1] if match else ""
    if "\n" not in gap:
        return f"[{', '.join(rows)}]"
    return f"[{gap}" + f",{gap}".join(rows) + f"{gap[: len(gap) - 1] if gap.endswith(' ') else gap}]"
