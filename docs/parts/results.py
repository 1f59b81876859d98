"""Reads the figures of benchmarks/RESULTS.md, so that a plot cannot say anything else than the table does."""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "benchmarks" / "RESULTS.md"
ROW = re.compile(r"^ {2}(?P<who>\S.*?)\s{2,}(?P<value>[\d.]+) (?P<unit>ns|µs|ms|s|KiB|MiB|GiB)(?:\s|$)")
UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
Cases = dict[str, dict[str, float]]


def read() -> tuple[Cases, Cases]:
    """Seconds and bytes by case and library; a case that was measured twice has its first figures."""
    seconds: Cases = {}
    sizes: Cases = {}
    case, fenced = "", False
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced and (found := ROW.match(line)):
            into = sizes if found["unit"].endswith("B") else seconds
            into.setdefault(case, {}).setdefault(found["who"], float(found["value"]) * UNITS[found["unit"]])
        elif fenced and line[:1].strip():
            case = line.strip()
    return seconds, sizes


def machine() -> str:
    """The first line under the first command: the processor."""
    return next(line for line in RESULTS.read_text(encoding="utf-8").splitlines() if " cores, " in line)
