"""Findings as text, as JSON, as annotations of GitHub and as SARIF."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable

from .._mistakes import RULES
from .finding import Finding

__all__ = ["FORMATS"]


def text(findings: Iterable[Finding]) -> str:
    """One line a finding: path:line:column: X001 what, why, fix."""
    return "\n".join(map(str, findings))


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
        place = f"file={_property(finding.path)},line={finding.line},endLine={finding.end_line},col={finding.column}"
        title = _property(f"{finding.rule_id} {finding.rule.title}")
        lines.append(f"::{level} {place},title={title}::{_data(finding.message)}")
    return "\n".join(lines)


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


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
        for rule in RULES.values()
    ]
    results = [_result(finding) for finding in findings]
    driver = {"name": "crossent check", "informationUri": "https://pypi.org/project/crossent/", "rules": rules}
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _result(finding: Finding) -> dict[str, object]:
    region = {"startLine": finding.line, "startColumn": finding.column}
    region |= {"endLine": finding.end_line, "endColumn": finding.end_column}
    location = {"physicalLocation": {"artifactLocation": {"uri": finding.path}, "region": region}}
    return {
        "ruleId": finding.rule_id,
        "level": LEVELS[finding.level],
        "message": {"text": finding.message},
        "locations": [location],
    }


FORMATS: dict[str, Callable[[Iterable[Finding]], str]] = {
    "text": text,
    "json": as_json,
    "github": github,
    "sarif": sarif,
}
