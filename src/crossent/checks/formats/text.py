"""Findings for people: a line each, or with the source and a caret, or by file; each rule is explained once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from ..finding import Finding
from ..source.project import Project
from ..source.sources import Source

__all__ = ["concise", "counted", "counts_of", "full", "grouped", "statistics"]

COLOURS = {"certain": "red", "possible": "yellow", "note": "blue"}


def _head(finding: Finding, place: str) -> str:
    rule = click.style(f"{finding.rule_id}{finding.doubt}", fg=COLOURS.get(finding.level), bold=True)
    return f"{click.style(place, bold=True)}: {rule} {finding.facts}"


def concise(findings: Iterable[Finding]) -> str:
    """One line a finding: path:line:column: X001 what."""
    return "\n".join(_head(finding, finding.place) for finding in findings)


def full(findings: Iterable[Finding], texts: dict[str, bytes] | None = None) -> str:
    """The line, the source with a caret below it, and what the rule is about where it comes first.

    `texts` are the files that were looked at with another content than the one on the disk.
    """
    project, explained, parts = Project(texts=texts), set(), []
    for finding in findings:
        lines = [_head(finding, finding.place), *_excerpt(finding, project)]
        if finding.rule_id not in explained:
            explained.add(finding.rule_id)
            rule = finding.rule
            lines += [f"  = {_sentence(rule.wrong)}", f"  = Fix: {rule.fix}."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _excerpt(finding: Finding, project: Project) -> list[str]:
    """The line of the source, and a caret below the place."""
    source = _source(finding, project)
    row = _row(source, finding)
    if row is None:
        return []
    text = row.expandtabs(1)
    width = finding.end_column - finding.column if finding.end_line == finding.line else len(text) - finding.column + 1
    number = str(finding.line)
    caret = click.style("^" * max(1, min(width, len(text) - finding.column + 1)), fg=COLOURS.get(finding.level))
    gap = " " * len(number)
    return [f"  {gap} |", f"  {number} | {text}", f"  {gap} | {' ' * (finding.column - 1)}{caret}"]


def _source(finding: Finding, project: Project) -> Source | None:
    known = finding.path in project.texts or Path(finding.path).is_file()
    return project.module(finding.path).source if known else None


def _row(source: Source | None, finding: Finding) -> str | None:
    """The line that a finding names, if the file can still be read."""
    if source is None:
        return None
    if not finding.cell:
        lines = source.lines
        return lines[finding.line - 1] if 0 < finding.line <= len(lines) and lines[finding.line - 1].strip() else None
    for place, text in zip(source.cells, source.raw, strict=False):
        if place == (finding.cell, finding.line):
            return text
    return None


def grouped(findings: Iterable[Finding]) -> str:
    """By file: the file's name, then its findings by place."""
    by_path: dict[str, list[Finding]] = {}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding)
    parts = []
    for path, some in by_path.items():
        rows = [f"  {_head(one, one.place.removeprefix(path).lstrip(':'))}" for one in some]
        parts.append("\n".join([f"{click.style(path, bold=True)}:", *rows]))
    return "\n\n".join(parts)


def counts_of(findings: Iterable[Finding]) -> Counter[tuple[str, str]]:
    """How often each rule is broken, by its identifier and title."""
    return Counter((finding.rule_id, finding.rule.title) for finding in findings)


def statistics(findings: Sequence[Finding]) -> str:
    """How often each rule is broken, most often first."""
    counts = counts_of(findings)
    width = len(str(max(counts.values(), default=0)))
    return "\n".join(f"{count:>{width}}  {rule}  {title}" for (rule, title), count in counts.most_common())


def counted(count: int, what: str) -> str:
    """1 finding, 2 findings."""
    return f"{count} {what}{'' if count == 1 else 's'}"
