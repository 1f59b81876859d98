"""Findings for programs: JSON, annotations of GitHub, SARIF, JUnit; lines are the file's own where they must be."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from ..finding import Finding
from ..rules import RULES, STATES
from .text import counts_of

__all__ = ["as_json", "github", "junit", "sarif", "statistics_as_json"]


def statistics_as_json(findings: Iterable[Finding]) -> str:
    """How often each rule is broken, most often first: a list of objects with rule, title and count."""
    rows = counts_of(findings).most_common()
    return json.dumps([{"rule": rule, "title": title, "count": count} for (rule, title), count in rows], indent=2)


def as_json(findings: Iterable[Finding]) -> str:
    """A list of objects."""
    rows = []
    for finding in findings:
        row = {name: value for name, value in dataclasses.asdict(finding).items() if value not in ("", 0, ())}
        rule = finding.rule
        rows.append({**row, "title": rule.title, "wrong": rule.wrong, "fix": rule.fix})
    return json.dumps(rows, indent=2, ensure_ascii=False)


def github(findings: Iterable[Finding]) -> str:
    """Workflow commands, which GitHub shows beside the lines."""
    lines = []
    for finding in findings:
        level = "error" if finding.level == "certain" else "warning" if finding.level == "possible" else "notice"
        place = f"file={_property(finding.path)},line={_line(finding)},endLine={_end_line(finding)}"
        place += "" if finding.cell else f",col={finding.column}"
        title = _property(f"{finding.rule_id} {finding.rule.title}")
        lines.append(f"::{level} {place},title={title}::{_data(_message(finding))}")
    return "\n".join(lines)


def _line(finding: Finding) -> int:
    """The line in the file, which in a notebook is not the line in the cell."""
    return finding.file_line or finding.line


def _end_line(finding: Finding) -> int:
    return finding.file_end_line or finding.end_line or _line(finding)


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def _message(finding: Finding) -> str:
    """The words; of a notebook, with the cell."""
    where = f"cell {finding.cell}, line {finding.line}: " if finding.cell else ""
    return where + finding.message


LEVELS = {"certain": "error", "possible": "warning", "note": "note"}


def sarif(findings: Iterable[Finding]) -> str:
    """The Static Analysis Results Interchange Format, version 2.1.0."""
    rules = [
        {
            "id": rule.id,
            "name": rule.title,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.wrong},
            "help": {"text": rule.fix},
        }
        for rule in [*RULES.values(), *STATES.values()]
    ]
    results = [_result(finding) for finding in findings]
    driver = {"name": "crossent check", "informationUri": "https://pypi.org/project/crossent/", "rules": rules}
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _result(finding: Finding) -> dict[str, object]:
    region = {"startLine": _line(finding)} if finding.cell else {
        "startLine": finding.line, "startColumn": finding.column,
        "endLine": finding.end_line, "endColumn": finding.end_column,
    }  # fmt: skip
    location = {"physicalLocation": {"artifactLocation": {"uri": quote(finding.path)}, "region": region}}
    return {
        "ruleId": finding.rule_id,
        "level": LEVELS[finding.level],
        "message": {"text": _message(finding)},
        "locations": [location],
    }


def junit(findings: Iterable[Finding]) -> str:
    """The XML of JUnit: a suite a file, a failure a finding."""
    by_path: dict[str, list[Finding]] = {}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding)
    count = sum(map(len, by_path.values()))
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<testsuites name="crossent check" tests="{max(count, 1)}" '
             f'failures="{count}" errors="0">']  # fmt: skip
    if not by_path:
        lines += ['  <testsuite name="crossent check" tests="1" failures="0" errors="0">',
                  '    <testcase name="no findings"/>', "  </testsuite>"]  # fmt: skip
    for path, some in by_path.items():
        lines.append(f'  <testsuite name={quoteattr(path)} tests="{len(some)}" failures="{len(some)}" errors="0">')
        for one in some:
            name = quoteattr(f"{one.rule_id} {one.place}")
            lines.append(f'    <testcase name={name} classname={quoteattr(path)} line="{_line(one)}">')
            lines.append(f"      <failure message={quoteattr(one.facts)}>{escape(str(one))}</failure>")
            lines.append("    </testcase>")
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"])
