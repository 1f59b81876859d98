"""A finding: which rule, where, how sure, and the words of the rule."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._mistakes import RULES, Rule

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """One mistake, found in a source or in a run.

    `level` is "certain", "possible" (on some paths only) or "note" (no number is wrong). `path`, `line` and `column`
    (from 1) name the place that decides, mostly the loss; `origin` the place where the value came from; `module` the
    offending layer's path in the model, at run time; `also` further places with the same origin; `cell` the cell of a
    notebook, whose `line` counts within the cell.
    """

    rule_id: str
    level: str = "certain"
    path: str = ""
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    cell: int = 0
    origin: str = ""
    module: str = ""
    detail: str = ""
    also: tuple[str, ...] = field(default=())

    @property
    def rule(self) -> Rule:
        """The rule that is broken."""
        return RULES[self.rule_id]

    @property
    def place(self) -> str:
        """path:line:column, with the cell of a notebook."""
        cell = f":cell {self.cell}" if self.cell else ""
        return f"{self.path}{cell}:{self.line}:{self.column}" if self.path else ""

    @property
    def message(self) -> str:
        """What is wrong, where the value came from, and the fix, in the rule's words."""
        source = f" (from {self.origin})" if self.origin else ""
        source += f" (module {self.module})" if self.module else ""
        source += f" ({self.detail})" if self.detail else ""
        also = f"; also at {', '.join(self.also)}" if self.also else ""
        return f"{self.rule.title}{source}{also}: {self.rule.wrong}. Fix: {self.rule.fix}."

    def __str__(self) -> str:
        doubt = {"possible": " possibly", "note": " note:"}.get(self.level, "")
        head = f"{self.place}: " if self.place else ""
        return f"{head}{self.rule_id}{doubt} {self.message}"
