"""Files as the linter reads them: any encoding, Python 2, notebooks with magics; what cannot be parsed says why."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["LARGEST", "Source", "mentions", "read"]

LARGEST = 2_000_000  # bytes; larger files are data
LARGEST_NOTEBOOK = 50_000_000  # notebooks hold pictures
WORDS = ("softmax", "sigmoid", "entropy", "crossent", "nllloss", "nll_loss", "bce", "expit", "kldiv", "kl_div", "exp(")
IGNORE = re.compile(r"#\s*crossent:\s*ignore(-file)?(?:\[([^\]]*)\])?")
PRINT = re.compile(r"^(\s*)print(?:\s+(?![=(.,\[)])|\s*>>).*$", re.MULTILINE)
EXCEPT = re.compile(r"^(\s*except\s+[\w.()\s,]+?),\s*(\w+)\s*:", re.MULTILINE)
MAGIC = re.compile(r"^(\s*)(?:[%!?].*|.*[^#\s]\?{1,2}\s*)$")
ASSIGNED_MAGIC = re.compile(r"^(\s*[\w, .]+=\s*)[%!].*$")
TRANSPARENT_CELLS = ("time", "timeit", "capture", "prun")


@dataclass
class Source:
    """A file as text and tree; of a notebook, the cell and line of each line.

    `problem` says why there is no tree, `unfinished` why not all of it was looked at.
    """

    path: str
    text: str = ""
    problem: str = ""
    unfinished: str = ""
    cells: list[tuple[int, int]] = field(default_factory=list)

    @cached_property
    def tree(self) -> ast.Module | None:
        """The tree, made on first use."""
        if self.problem:
            return None
        tree, self.problem = _parsed(self.text)
        return tree

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.split("\n")

    @cached_property
    def interesting(self) -> bool:
        """Whether the text has a word that a finding can be about."""
        return mentions(self.text)

    def ignored(self, rule: str, first: int, last: int) -> bool:
        """Whether a comment on one of these lines, or one for the whole file, turns the rule off."""
        if "crossent:" not in self.text:
            return False
        for number, line in enumerate(self.lines, start=1):
            match = IGNORE.search(line)
            if match and (match[1] or first <= number <= last):
                names = [name.strip() for name in (match[2] or "").split(",")]
                if names == [""] or rule in names:
                    return True
        return False


def mentions(text: str) -> bool:
    """Whether a text has a word that a finding can be about."""
    lowered = text.lower()
    return any(word in lowered for word in WORDS)


def read(path: str) -> Source:
    """Read and parse a file; never raises for what is in it."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return Source(path, problem=f"cannot be read: {error.strerror or error}")
    if len(data) > (LARGEST_NOTEBOOK if path.endswith(".ipynb") else LARGEST):
        return Source(path, problem="is too large to be a source")
    if path.endswith(".ipynb"):
        return _notebook(path, data)
    return Source(path, _decoded(data))


def _decoded(data: bytes) -> str:
    """The text in the encoding that the file declares, UTF-8 or, if that fails, Latin-1, which never does."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            text = data.decode(encoding)
        except (SyntaxError, LookupError, UnicodeDecodeError):
            text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ").replace("\x00", "").removeprefix("\ufeff")


def _parsed(text: str) -> tuple[ast.Module | None, str]:
    """The tree; of Python 2, the tree without its print statements, in the same lines and columns."""
    tree, problem = _tree(text)
    if tree is None:
        older = EXCEPT.sub(r"\1 as \2:", PRINT.sub(r"\1pass", text))
        if older != text:
            again, _ = _tree(older)
            return (again, "") if again is not None else (None, problem)
    return tree, problem


def _tree(text: str) -> tuple[ast.Module | None, str]:
    """ast.parse, whose errors of every kind become a sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text), ""
    except SyntaxError as error:
        return None, f"cannot be parsed: {error.msg} (line {error.lineno})"
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return None, f"cannot be parsed: {type(error).__name__}"


def _notebook(path: str, data: bytes) -> Source:
    """The code cells one after another; a cell that is no Python is left out, its lines kept empty."""
    try:
        content = json.loads(data.decode("utf-8", errors="replace"))
        cells = _cells(content)
    except (ValueError, RecursionError, TypeError, AttributeError):
        return Source(path, problem="is not a notebook")
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    broken: list[str] = []
    for number, cell in cells:
        code = _without_magics(cell)
        tree, problem = _parsed("\n".join(code)) if code else (None, "")
        if code and tree is None:
            broken.append(f"cell {number} {problem}")
            code = [""] * len(code)
        lines += code
        places += [(number, line) for line in range(1, len(code) + 1)]
    return Source(path, "\n".join(lines) + "\n", unfinished="; ".join(broken), cells=places)


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


def _without_magics(code: str) -> list[str]:
    """The lines of a cell, magics and shell commands replaced by `pass`, cells in other languages emptied."""
    lines = code.replace("\r\n", "\n").replace("\x00", "").split("\n")
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and first[2:].split(" ")[0] not in TRANSPARENT_CELLS:
        return [""] * len(lines)
    if _tree("\n".join(lines))[0] is not None:
        return lines
    return [ASSIGNED_MAGIC.sub(r"\1None", MAGIC.sub(r"\1pass", line)) for line in lines]
