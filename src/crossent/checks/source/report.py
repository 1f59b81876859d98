"""From files to findings: each file is looked at, what is turned off goes, the rest is put in order."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..finding import Finding
from ..rules import STATES, rule_of
from ..settings import Settings
from .comments import Comments
from .lint import look_at
from .machine import CALLED, Found
from .notebooks import file_lines
from .project import Project
from .sources import Source
from .values import Place

__all__ = ["HEAVIEST", "Report", "deep_recursion", "look", "look_at_files"]

RECURSION = 4000
COLLECTED = (20_000, 20, 10)
HEAVIEST = 2_000_000  # characters whose trees are kept; beyond them a project is read afresh


class Report:
    """The findings of a run, what the linter itself found (`raw`), and remarks on comments."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.raw: list[Found] = []
        self.remarks: list[str] = []
        self.texts: dict[str, bytes] = {}  # files that were looked at with another content than the one on the disk
        self.files = 0

    @property
    def problems(self) -> list[str]:
        """What could not be looked at, a line each."""
        return [str(finding) for finding in self.findings if finding.rule_id in STATES]

    def add(self, other: Report) -> None:
        """Take the findings of another run."""
        self.findings += other.findings
        self.raw += other.raw
        self.remarks += other.remarks
        self.files += other.files

    def finish(self) -> Report:
        """Each place and rule once, in order: two files may lead to the same finding in a third."""
        kept: dict[tuple[object, ...], Finding] = {}
        for finding in self.findings:
            kept.setdefault((finding.rule_id, finding.path, finding.cell, finding.line, finding.column), finding)
        order = lambda one: (one.path, one.cell, one.line, one.column, one.rule_id)  # noqa: E731
        self.findings = sorted(kept.values(), key=order)
        self.remarks = sorted(set(self.remarks))
        return self


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Room for deep programs; trees are many objects, which the garbage collector need not look at so often."""
    limit, thresholds = sys.getrecursionlimit(), gc.get_threshold()
    sys.setrecursionlimit(max(limit, RECURSION))
    gc.set_threshold(*COLLECTED)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        sys.setrecursionlimit(limit)


def look_at_files(
    files: Iterable[str],
    settings: Callable[[str], Settings],
    project: Project | None = None,
    done: Callable[[str], None] = lambda _: None,
    *,
    always: bool = False,
) -> Report:
    """Look at every file; never raises for what is in one."""
    result, keep = Report(), project is not None
    project = project or Project()
    with deep_recursion():
        for path in files:
            result.add(look(project, path, settings(path), always=always))
            done(path)
            if not keep:
                project.release(project.shown(os.path.abspath(path)))
            if not keep and project.weight > HEAVIEST:
                project = Project()
                gc.collect()
    return result.finish()


def look(project: Project, path: str, settings: Settings, *, always: bool = False) -> Report:
    """Look at one file."""
    result = Report()
    result.files = 1
    module = project.module(project.shown(os.path.abspath(path)))
    found: list[Found] = []
    try:
        look_at(project, module, found.append, always=always)
    except Exception as error:  # a defect of the linter must not stop the run over the other files
        found.append(_trouble(module.path, "not-analysed", f"cannot be followed ({type(error).__name__}: {error})"))
    found += [_trouble(module.path, t.rule, t.why, t.line, t.column) for t in module.source.troubles]
    suppressed = _Suppressed(project)
    wanted = [one for one in found if _wanted(one, settings) and not suppressed(one.rule, one.place)]
    result.raw = wanted
    result.findings = _findings(project, wanted, suppressed)
    if module.source.interesting:
        result.remarks = suppressed.comments(module.path).remarks()
    return result


def _trouble(path: str, rule: str, why: str, line: int = 1, column: int = 1) -> Found:
    return Found(rule, Place(path, line, column, line, column + 1), None, "certain", why)


def _wanted(found: Found, settings: Settings) -> bool:
    """Whether a finding is asked for."""
    if not settings.wants(found.rule) or settings.ignores(found.rule, found.place.path):
        return False
    if rule_of(found.rule).level == "note" and not settings.notes and not settings.names(found.rule):
        return False
    return found.level == "certain" or settings.possible


class _Suppressed:
    """Whether a comment turns a rule off at a place, in any file of the project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.files: dict[str, Comments] = {}

    def comments(self, path: str) -> Comments:
        if path not in self.files:
            self.files[path] = Comments(self.project.module(path).source)
        return self.files[path]

    def __call__(self, rule: str, place: Place) -> bool:
        return self.comments(place.path).ignored(rule, place.line, place.end_line)


def _findings(project: Project, found: list[Found], suppressed: _Suppressed) -> list[Finding]:
    """Findings without those that a comment turns off; those with one origin become one."""
    grouped: dict[tuple[object, ...], Finding] = {}
    lines: dict[tuple[object, ...], set[int]] = {}
    taken: set[tuple[str, Place]] = set()
    for one in sorted(found, key=lambda one: (one.level != "certain", one.place, one.origin or one.place)):
        if one.origin is not None and suppressed(one.rule, one.origin):
            continue
        key = (one.rule, one.origin or one.place, one.place.path)
        first = grouped.get(key)
        if first is None:
            if (one.rule, one.place) not in taken:
                grouped[key], lines[key] = _finding(project, one), {one.place.line}
        elif one.place.line not in lines[key] and (first.level == "possible") == (one.level == "possible"):
            lines[key].add(one.place.line)
            grouped[key] = replace(first, also=(*first.also, _shown(project, one.place, one.place.path)))
        taken.add((one.rule, one.place))
    return list(grouped.values())


def _finding(project: Project, one: Found) -> Finding:
    """A finding as users see it: in a notebook by cell, columns in characters."""
    source = project.module(one.place.path).source
    cell, line = source.cells[one.place.line - 1] if source.cells else (0, one.place.line)
    shift = line - one.place.line
    level = "note" if rule_of(one.rule).level == "note" and one.level == "certain" else one.level
    in_file = file_lines(source, one.place.line) if source.cells else one.place.line
    return Finding(
        one.rule,
        level,
        one.place.path,
        line,
        source.characters(one.place.line, one.place.column),
        one.place.end_line + shift,
        source.characters(one.place.end_line, one.place.end_column),
        cell,
        _shown(project, one.origin, one.place.path) if one.origin is not None else "",
        detail=_with_cell(source, one.detail),
        file_line=in_file,
        file_end_line=file_lines(source, one.place.end_line) if source.cells else one.place.end_line,
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
