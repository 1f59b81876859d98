"""Files beside the checked ones that import a module in which something changes: they may use it as it was."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..source.files import files_of
from .consumers import Consumer

__all__ = ["importers"]

MOST = 2_000  # files that are looked through
ROOTS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")


def importers(path: str, given: set[str]) -> Iterator[Consumer]:
    """The Python files of the same project, not among those given, that import the module of a path."""
    here = Path(path).absolute()
    parents = list(here.parents)[:4]
    root = next((parent for parent in parents if any((parent / name).exists() for name in ROOTS)), here.parent)
    name = here.parent.name if here.stem == "__init__" else here.stem
    pattern = re.compile(rf"^\s*(?:from|import)\b[^\n]*\b{re.escape(name)}\b", re.MULTILINE)
    known = {os.path.realpath(one) for one in given}
    for count, file in enumerate(files_of([root])):
        if count >= MOST:
            return
        if os.path.realpath(file) in known or file.endswith(".ipynb"):
            continue
        try:
            text = Path(file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        match = pattern.search(text)
        if match:
            line = text.count("\n", 0, match.end()) + 1
            yield Consumer(os.path.relpath(file), line, f"{name} is imported, and this file was not checked")
