"""Which files a run looks at: those named, and those below folders that neither .gitignore nor a setting leaves out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ...errors import DataError
from ..settings import Settings

__all__ = ["files_of"]

SKIPPED = ("__pycache__", "node_modules", "site-packages", ".ipynb_checkpoints")
ENDINGS = (".py", ".ipynb", ".pyi", ".pyw")


def files_of(
    paths: Iterable[str | os.PathLike[str]], settings: Callable[[str], Settings] | None = None
) -> Iterator[str]:
    """The Python files and notebooks among paths and below folders, in order, each once.

    Raises
    ------
    DataError
        For a path that does not exist.
    """
    seen = set()
    for given in paths:
        path = os.fspath(given)
        if not os.path.exists(path):
            raise DataError(f"{path}: no such file or folder")
        for file in [path] if not os.path.isdir(path) else sorted(_below(path, settings)):
            key = os.path.realpath(file)
            if key not in seen:
                seen.add(key)
                yield file


def _below(folder: str, settings: Callable[[str], Settings] | None) -> Iterator[str]:
    """The files below a folder; hidden ones and installed libraries are left out."""
    ignored = GitIgnore(folder)
    for here, folders, names in os.walk(folder):
        rules = settings(here) if settings is not None else Settings()
        git = rules.respect_gitignore

        def left_out(name: str, here: str = here, rules: Settings = rules, git: bool = git) -> bool:
            path = os.path.join(here, name)
            return rules.excluded(path) or (git and ignored.matches(path))

        folders[:] = [
            name
            for name in folders
            if name not in SKIPPED and not _hidden(os.path.join(here, name), name) and not left_out(name)
        ]
        if git:
            ignored.enter(here)
        yield from (os.path.join(here, n) for n in names if n.endswith(ENDINGS) and not left_out(n))


def _hidden(path: str, name: str) -> bool:
    """Whether a folder is hidden or a virtual environment."""
    return name.startswith(".") or os.path.isfile(os.path.join(path, "pyvenv.cfg"))


class GitIgnore:
    """The .gitignore files of a folder's repository, from its root down."""

    def __init__(self, folder: str) -> None:
        self.patterns: list[tuple[str, Any]] = []
        self.told = False
        here = Path(os.path.abspath(folder))
        above = []
        for parent in [here, *here.parents]:
            above.append(parent)
            if (parent / ".git").exists():
                for one in reversed(above[1:]):
                    self._read(str(one))
                break
        self._read(str(here))

    def enter(self, folder: str) -> None:
        """Take the patterns of the folders in this one, before they are walked."""
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False) and os.path.isfile(os.path.join(entry.path, ".gitignore")):
                self._read(os.path.abspath(entry.path))

    def _read(self, folder: str) -> None:
        try:
            lines = Path(folder, ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return
        try:
            import pathspec
        except ImportError:
            self._tell(folder)
            return
        self.patterns.append((folder, pathspec.GitIgnoreSpec.from_lines(lines)))

    def _tell(self, folder: str) -> None:
        """Say once that without the extra, files that git ignores are looked at, too."""
        if not self.told:
            path = os.path.join(folder, ".gitignore")
            click.echo(f"{path} is not respected: that takes pathspec (pip install 'crossent[check]')", err=True)
        self.told = True

    def matches(self, path: str) -> bool:
        """Whether git would ignore a file or folder."""
        path = os.path.abspath(path)
        folder = os.path.isdir(path)
        for root, spec in self.patterns:
            if path.startswith(root + os.sep):
                relative = os.path.relpath(path, root).replace(os.sep, "/") + ("/" if folder else "")
                if spec.match_file(relative):
                    return True
        return False
