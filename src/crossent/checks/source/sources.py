"""A file as the linter sees it: its text, its tree, and why some of it could not be looked at."""

from __future__ import annotations

import ast
import gc
import io
import re
import tokenize
import warnings
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["Source", "Trouble", "decoded", "encoding_of", "may_mention", "mentions", "parsed"]

WORDS = (
    "softmax", "sigmoid", "entropy", "crossent", "nllloss", "nll_loss", "bce", "expit", "kldiv", "kl_div", "exp(",
    "log_loss", "compute_loss_func", "loss_mapping", "one_hot", "smoothing",
)  # fmt: skip
PRINT = re.compile(r"^(\s*)print(?:\s+(?![=(.,\[)])|\s*>>).*$", re.MULTILINE)
EXCEPT = re.compile(r"^(\s*except\s+[\w.()\s,]+?),\s*(\w+)\s*:", re.MULTILINE)


@dataclass(frozen=True)
class Trouble:
    """What could not be looked at, at a line of the text, and why; `rule` is invalid-syntax or not-analysed."""

    rule: str
    why: str
    line: int = 1
    column: int = 1


@dataclass
class Source:
    """A file as text and tree; of a notebook, the cell and line of each line, and the lines before magics went."""

    path: str
    text: str = ""
    troubles: list[Trouble] = field(default_factory=list)
    cells: list[tuple[int, int]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    data: bytes = b""

    @cached_property
    def tree(self) -> ast.Module | None:
        """The tree, made on first use."""
        if self.troubles and not self.cells:
            return None
        tree, trouble = parsed(self.text)
        if trouble is not None:
            self.troubles.append(trouble)
        return tree

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.split("\n")

    @cached_property
    def interesting(self) -> bool:
        """Whether the text has a word that a finding can be about."""
        return mentions(self.text)

    def characters(self, line: int, column: int) -> int:
        """The column, from 1, in characters, of one that counts the bytes of UTF-8 as the parser does."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        if text.isascii():
            return column
        return len(text.encode()[: column - 1].decode(errors="ignore")) + 1


def may_mention(data: bytes) -> bool:
    """Whether the bytes of a file, in an encoding that keeps ASCII, have such a word: a look before reading."""
    lowered = data.lower()
    return any(word.encode() in lowered for word in WORDS)


def mentions(text: str) -> bool:
    """Whether a text has a word that a finding can be about."""
    lowered = text.lower()
    return any(word in lowered for word in WORDS)


def decoded(data: bytes) -> str:
    """The text in the encoding that the file declares, UTF-8 or, if that fails, Latin-1, which never does."""
    text = data.decode(encoding_of(data), errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ").replace("\x00", "").removeprefix("\ufeff")


def encoding_of(data: bytes) -> str:
    """The encoding that a file declares, or one in which it can be read."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        data.decode(encoding)
    except (SyntaxError, LookupError, UnicodeDecodeError):
        return "latin-1"
    return encoding


def parsed(text: str) -> tuple[ast.Module | None, Trouble | None]:
    """The tree; of Python 2, the tree without its print statements, in the same lines and columns."""
    tree, trouble = _tree(text)
    if tree is None:
        older = EXCEPT.sub(r"\1 as \2:", PRINT.sub(r"\1pass", text))
        if older != text:
            again, _ = _tree(older)
            return (again, None) if again is not None else (None, trouble)
    return tree, trouble


def _tree(text: str) -> tuple[ast.Module | None, Trouble | None]:
    """ast.parse, whose errors of every kind become a trouble."""
    collecting = gc.isenabled()
    gc.disable()  # it would look at every node again and again
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text), None
    except SyntaxError as error:
        message = error.msg
        if "too many nested" in message or "too complex" in message:
            return None, Trouble("not-analysed", f"nested too deeply ({message})", error.lineno or 1)
        return None, Trouble("invalid-syntax", message, error.lineno or 1, error.offset or 1)
    except (RecursionError, MemoryError):
        return None, Trouble("not-analysed", "nested too deeply to be parsed")
    except (ValueError, OverflowError) as error:
        return None, Trouble("invalid-syntax", str(error))
    finally:
        if collecting:
            gc.enable()
