"""Changes that put findings right, as a diff or written; who else uses the changed values is named."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from ..settings import Settings
from ..source import rules_of
from ..source.sources import decoded
from .plan import Fix, Plan, planned

__all__ = ["Fix", "Plan", "diff", "fixed", "planned", "write"]


def fixed(
    paths: Iterable[str | os.PathLike[str]], *, possible: bool = False, notes: bool = False, unsafe: bool = False
) -> str:
    """The changes as a unified diff: the safe ones, with `unsafe` all that can be made."""
    settings = rules_of(Settings(possible=possible, notes=notes))
    return diff(planned(paths, settings, unsafe=unsafe))


def diff(plan: Plan) -> str:
    """The changes of a plan as a unified diff."""
    return "".join(_diff(path, plan.before(path), after) for path, after in sorted(plan.contents.items()))


def _diff(path: str, before: bytes, after: bytes) -> str:
    old, new = decoded(before).splitlines(keepends=True), decoded(after).splitlines(keepends=True)
    lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def write(plan: Plan) -> None:
    """Write the changed files, each whole or not at all."""
    for path, after in plan.contents.items():
        target = Path(os.path.realpath(path))
        beside = target.with_name(f".{target.name}.crossent")
        beside.write_bytes(after)
        beside.chmod(target.stat().st_mode)
        beside.replace(target)
