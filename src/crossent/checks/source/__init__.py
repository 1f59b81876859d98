"""The source linter: reads Python files and notebooks without running them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ..._mistakes import RULES
from ...errors import DataError
from ..finding import Finding
from .lint import look_at
from .machine import CALLED, Found
from .project import Project
from .reading import Source
from .values import Place

__all__ = ["Report", "files_of", "lint", "report"]

SKIPPED = ("__pycache__", "node_modules", "site-packages", ".ipynb_checkpoints")
NOTES = ("X003", "X028")
RECURSION = 4000


class Report:
    """The findings of a run, the files that were read, and those that could not be."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.raw: list[Found] = []
        self.problems: list[str] = []
        self.files = 0


def files_of(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """The Python files and notebooks among paths and below folders, in order, each once."""
    seen = set()
    for given in paths:
        path = os.fspath(given)
        if not os.path.exists(path):
            raise DataError(f"{path}: no such file or folder")
        for file in [path] if os.path.isfile(path) else sorted(_below(path)):
            key = os.path.realpath(file)
            if key not in seen:
                seen.add(key)
                yield file


def _below(folder: str) -> Iterator[str]:
    """The files below a folder; hidden ones and installed libraries are left out."""
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED and not _hidden(os.path.join(here, name), name)]
        yield from (os.path.join(here, name) for name in names if name.endswith((".py", ".ipynb")))


def _hidden(path: str, name: str) -> bool:
    """Whether a folder is hidden or a virtual environment."""
    return name.startswith(".") or os.path.isfile(os.path.join(path, "pyvenv.cfg"))


def report(
    paths: Iterable[str | os.PathLike[str]], *, possible: bool = False, notes: bool = False, select: Iterable[str] = ()
) -> Report:
    """Look at every file; never raises for what is in one."""
    result, project, chosen = Report(), Project(), set(select)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, RECURSION))
    try:
        for path in files_of(paths):
            result.files += 1
            module = project.module(project.shown(os.path.abspath(path)))
            found: list[Found] = []
            try:
                look_at(project, module, found.append)
            except Exception as error:  # a defect of the linter must not stop the run over the other files
                module.source.problem = f"cannot be followed ({type(error).__name__}: {error})"
            problem = module.source.problem or module.source.unfinished
            if problem:
                result.problems.append(f"{path}: {problem}")
            wanted = [one for one in found if _wanted(one, possible=possible, notes=notes, chosen=chosen)]
            result.raw += [one for one in wanted if not _ignored(project, one.rule, one.place)]
            result.findings += _findings(project, wanted)
    finally:
        sys.setrecursionlimit(limit)
    result.findings = _once(result.findings)
    return result


def _wanted(found: Found, *, possible: bool, notes: bool, chosen: set[str]) -> bool:
    """Whether a finding is asked for."""
    if chosen and found.rule not in chosen:
        return False
    if RULES[found.rule].level == "note" and not notes and not chosen:
        return False
    return found.level == "certain" or possible


def _findings(project: Project, found: list[Found]) -> list[Finding]:
    """Findings without those that a comment turns off; those with one origin become one."""
    grouped: dict[tuple[object, ...], Finding] = {}
    order = sorted(found, key=lambda one: (one.level != "certain", one.place, one.origin or one.place))
    for one in order:
        if any(_ignored(project, one.rule, place) for place in (one.place, one.origin) if place is not None):
            continue
        source = project.module(one.place.path).source
        finding = _finding(project, source, one)
        key = (one.rule, one.origin or one.place, one.place.path)
        first = grouped.get(key)
        if first is None:
            if (one.rule, one.place) not in {(f.rule_id, p) for p, f in _places(grouped)}:
                grouped[key] = finding
        elif first.line != finding.line and f"line {finding.line}" not in first.also and first.level == finding.level:
            grouped[key] = replace(first, also=(*first.also, f"line {finding.line}"))
    return list(grouped.values())


def _places(grouped: dict[tuple[object, ...], Finding]) -> Iterator[tuple[object, Finding]]:
    """The findings so far, by their places."""
    for finding in grouped.values():
        yield Place(finding.path, finding.line, finding.column, finding.end_line, finding.end_column), finding


def _ignored(project: Project, rule: str, place: Place) -> bool:
    return project.module(place.path).source.ignored(rule, place.line, place.end_line)


def _finding(project: Project, source: Source, one: Found) -> Finding:
    """A finding as users see it: in a notebook by cell."""
    cell, line = source.cells[one.place.line - 1] if source.cells else (0, one.place.line)
    shift = line - one.place.line
    level = "note" if RULES[one.rule].level == "note" and one.level == "certain" else one.level
    return Finding(
        one.rule,
        level,
        one.place.path,
        line,
        one.place.column,
        one.place.end_line + shift,
        one.place.end_column,
        cell,
        _shown(project, one.origin, one.place.path) if one.origin is not None else "",
        detail=_with_cell(source, one.detail),
    )


def _shown(project: Project, place: Place, beside: str) -> str:
    """Where a value came from: the line alone within the same file."""
    cells = project.module(place.path).source.cells
    cell, line = cells[place.line - 1] if cells else (0, place.line)
    where = f"cell {cell}, line {line}" if cell else f"line {line}"
    return where if place.path == beside else f"{place.path}:{line}"


def _with_cell(source: Source, detail: str) -> str:
    """Of a notebook, the line of a call is given by cell too."""
    head, called, line = detail.partition(CALLED)
    if not called or not source.cells:
        return detail
    cell, inner = source.cells[int(line) - 1]
    return f"{head}called from cell {cell}, line {inner}"


def _once(findings: list[Finding]) -> list[Finding]:
    """Each place and rule once: two files may lead to the same finding in a third."""
    kept: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        kept.setdefault((finding.rule_id, finding.path, finding.cell, finding.line, finding.column), finding)
    return sorted(kept.values(), key=lambda one: (one.path, one.cell, one.line, one.column, one.rule_id))


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
        By file and line. A comment `# crossent: ignore[X001]` on either line turns a finding off.

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
