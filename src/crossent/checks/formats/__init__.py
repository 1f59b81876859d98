"""What `--output-format` names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..finding import Finding
from .machine import as_json, github, junit, sarif, statistics_as_json
from .text import concise, counted, full, grouped, statistics

__all__ = ["FORMATS", "PEOPLE", "counted", "full", "statistics", "statistics_as_json"]

PEOPLE = ("full", "text", "concise", "grouped")
FORMATS: dict[str, Callable[[Iterable[Finding]], str]] = {
    "full": full,
    "text": full,
    "concise": concise,
    "grouped": grouped,
    "json": as_json,
    "junit": junit,
    "github": github,
    "sarif": sarif,
}
