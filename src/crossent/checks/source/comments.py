"""Comments that turn rules off: `# crossent: ignore[X001]`, `# noqa: X001`; those that turn nothing off are told."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass
from functools import cached_property

from ..rules import known
from .sources import Source

__all__ = ["Comment", "Comments"]

OURS = re.compile(r"#\s*crossent:\s*ignore(-file)?(?:\[([^\]]*)\])?")
NOQA = re.compile(r"#\s*noqa(?::\s*([A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*))?", re.IGNORECASE)
RULE = re.compile(r"\bX\d+|invalid|not-analysed", re.IGNORECASE)


@dataclass
class Comment:
    """One comment: the rules that it names, none for all of them."""

    line: int
    names: tuple[str, ...]
    ours: bool
    whole_file: bool = False
    used: bool = False

    @property
    def unknown(self) -> list[str]:
        """Names that are no rules of this table; those of other tools are left to them."""
        return [name for name in self.names if known(name) is None and (self.ours or re.fullmatch(r"X\d+", name))]


class Comments:
    """The comments of a file, by line."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @cached_property
    def all(self) -> list[Comment]:
        """Every such comment; of text in strings only comments count."""
        text = self.source.text
        if "crossent:" not in text and "noqa" not in text.lower():
            return []
        found = []
        for line, comment in _comments(text):
            ours = OURS.search(comment)
            noqa = None if ours else NOQA.search(comment)
            if ours:
                names = tuple(name.strip() for name in (ours[2] or "").split(",") if name.strip())
                found.append(Comment(line, names, ours=True, whole_file=bool(ours[1])))
            elif noqa and noqa[1]:
                found.append(Comment(line, tuple(re.split(r"[,\s]+", noqa[1])), ours=False))
            elif noqa:
                found.append(Comment(line, (), ours=False))
        return found

    @cached_property
    def _names_ours(self) -> bool:
        """Whether some comment is ours, or names one of our rules: a look before the text is cut into tokens."""
        text = self.source.text
        return OURS.search(text) is not None or any(
            RULE.search(match[1] or "") is not None for match in NOQA.finditer(text)
        )

    @cached_property
    def by_line(self) -> dict[int, list[Comment]]:
        """Comments by their line; those for the whole file under 0."""
        lines: dict[int, list[Comment]] = {}
        for comment in self.all:
            lines.setdefault(0 if comment.whole_file else comment.line, []).append(comment)
        return lines

    def ignored(self, rule: str, first: int, last: int) -> bool:
        """Whether a comment on one of these lines, or one for the whole file, turns the rule off."""
        if not self.all:
            return False
        ignored = False
        for line in (0, *range(first, last + 1)):
            for comment in self.by_line.get(line, ()):
                if not comment.names or rule in map(known, comment.names):
                    comment.used = ignored = True
        return ignored

    def remarks(self) -> list[str]:
        """What is wrong with the comments themselves: rules that there are not, comments that turn nothing off."""
        if not self._names_ours:
            return []
        said = []
        for comment in self.all:
            cell, line = self.source.cells[comment.line - 1] if self.source.cells else (0, comment.line)
            where = f"{self.source.path}:cell {cell}:{line}" if cell else f"{self.source.path}:{line}"
            said += [f"{where}: the comment names {name}, which is no rule" for name in comment.unknown]
            ours = comment.ours or (comment.names and all(known(name) for name in comment.names))
            if ours and not comment.used and not comment.unknown:
                said.append(f"{where}: the comment turns nothing off here")
        return said


def _comments(text: str) -> list[tuple[int, str]]:
    """(line, text) of the comments; where the text cannot be cut into tokens, of what looks like one."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return [(n, line[line.index("#") :]) for n, line in enumerate(text.split("\n"), 1) if "#" in line]
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
