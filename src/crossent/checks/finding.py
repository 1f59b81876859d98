"""A finding: which rule, where, how sure, and the words of the rule."""

from __future__ import annotations

from dataclasses import dataclass, field

from .rules import Rule, rule_of

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """One mistake, found in a source or in a run.

    `level` is "certain", "possible" (on some paths only) or "note" (no number is wrong). `path`, `line` and `column`
    (from 1, in characters) name the place that decides, mostly the loss; `origin` the place where the value came from;
    `module` the offending layer's path in the model, at run time; `also` further places with the same origin; `cell`
    the cell of a notebook, whose `line` counts within the cell, while `file_line` counts in the notebook's own text.
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
    file_line: int = 0
    file_end_line: int = 0

    @property
    def rule(self) -> Rule:
        """The rule that is broken."""
        return rule_of(self.rule_id)

    @property
    def place(self) -> str:
        """path:line:column, with the cell of a notebook."""
        cell = f":cell {self.cell}" if self.cell else ""
        return f"{self.path}{cell}:{self.line}:{self.column}" if self.path else ""

    @property
    def facts(self) -> str:
        """What is wrong and where the value came from, without the rule's explanation."""
        source = f" (from {self.origin})" if self.origin else ""
        source += f" (module {self.module})" if self.module else ""
        source += f" ({self.detail})" if self.detail else ""
        also = f"; also at {', '.join(self.also)}" if self.also else ""
        return f"{self.rule.title}{source}{also}"

    @property
    def message(self) -> str:
        """What is wrong, where the value came from, and the fix, in the rule's words."""
        return f"{self.facts}: {self.rule.wrong}. Fix: {self.rule.fix}."

    @property
    def doubt(self) -> str:
        """How sure it is, as a word before the message; nothing where it is certain."""
        return {"possible": " possibly", "note": " note:"}.get(self.level, "")

    def __str__(self) -> str:
        head = f"{self.place}: " if self.place else ""
        return f"{head}{self.rule_id}{self.doubt} {self.message}"
