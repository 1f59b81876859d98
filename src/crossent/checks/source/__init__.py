"""The source linter: reads Python files and notebooks without running them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ..finding import Finding
from ..settings import Settings, settings_for
from .files import files_of
from .report import Report, look_at_files

__all__ = ["Report", "files_of", "lint", "report", "rules_of"]


def rules_of(given: Settings) -> Callable[[str], Settings]:
    """The settings that hold for a file: those of its project under those that are given."""
    cache: dict[str, Settings] = {}
    return lambda path: settings_for(path, cache).merged(given)


def report(
    paths: Iterable[str | os.PathLike[str]], *, possible: bool = False, notes: bool = False, select: Iterable[str] = ()
) -> Report:
    """Look at every file; never raises for what is in one."""
    settings = rules_of(Settings(select=tuple(select), possible=possible, notes=notes))
    return look_at_files(files_of(paths, settings), settings)


def lint(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, possible: bool = False, notes: bool = False
) -> list[Finding]:
    r"""Look for mistakes with softmax and cross-entropy in Python files and notebooks, without running them.

    Parameters
    ----------
    paths
        A file or folder, or several.
    possible
        Give findings too that hold on some paths through the program only.
    notes
        Give those too that make no number wrong (log_softmax before cross-entropy, sigmoid and then BCELoss).

    Returns
    -------
    list of Finding
        By file and line. A comment `# crossent: ignore[X001]` on either line turns a finding off. What could not be
        looked at is a finding too: invalid-syntax, not-analysed. Settings of `[tool.crossent.check]` in the nearest
        pyproject.toml hold, .gitignore is respected.

    Raises
    ------
    DataError
        For a path that does not exist. What is in a file never raises.

    Examples
    --------
    >>> import tempfile, pathlib, crossent
    >>> path = pathlib.Path(tempfile.mkdtemp(), "train.py")
    >>> _ = path.write_text("import torch.nn.functional as F\nloss = F.cross_entropy(F.softmax(x, dim=1), y)\n")
    >>> [(finding.rule_id, finding.line, finding.rule.title) for finding in crossent.checks.lint(path)]
    [('X001', 2, 'softmax before cross-entropy')]

    References
    ----------
    P. Cousot and R. Cousot, "Abstract interpretation", POPL 1977.
    """
    given = [paths] if isinstance(paths, (str, Path, os.PathLike)) else paths
    return report(given, possible=possible, notes=notes).findings
