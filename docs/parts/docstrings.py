"""Docstrings as Sphinx reads them: the equation stands apart, and what is mathematics is not taken for markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MARKUP = re.compile(r"(?<=\w)_(?!\w)|\|")  # a name_ would be a link, |x| a substitution

ATTRIBUTE = re.compile(r"\s*\w+_(?:, \w+_)*(?::|$)")  # "classes_: the labels": a name there, no link


def setup(app: Sphinx) -> None:
    """Read every docstring before napoleon does."""
    app.connect("autodoc-process-docstring", process, priority=100)


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Change the lines in place, as autodoc wants it."""
    lines[:] = referred(apart([escaped(line) for line in lines]))


def escaped(line: str) -> str:
    """Escape what is not meant as markup, outside backquotes and code."""
    if line.lstrip().startswith((">>>", "...")):
        return line
    attribute = ATTRIBUTE.match(line)
    head = attribute[0] if attribute else ""
    pieces = line[len(head) :].split("`")
    pieces[::2] = [MARKUP.sub(r"\\\g<0>", piece) for piece in pieces[::2]]
    return head + "`".join(pieces)


def apart(lines: list[str]) -> list[str]:
    """Set the second paragraph as a block of its own where it is an equation."""
    start = lines.index("") + 1 if "" in lines else len(lines)
    end = lines.index("", start) if "" in lines[start:] else len(lines)
    paragraph = lines[start:end]
    if not paragraph or " = " not in paragraph[0] or "`" in "".join(paragraph):
        return lines
    plain = [line.strip().replace("\\", "") for line in paragraph]
    return [
        *lines[:start],
        ".. code-block:: text",
        "   :class: equation",
        "",
        *("   " + line for line in plain),
        *lines[end:],
    ]


def referred(lines: list[str]) -> list[str]:
    """Let "Raises: See ..." be a sentence: it names no error."""
    for place in range(len(lines) - 2):
        if lines[place] == "Raises" and lines[place + 2].startswith("See "):
            return [*lines[:place], ".. rubric:: Raises", "", *lines[place + 2 :]]
    return lines
