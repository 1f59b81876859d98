"""The table of rules as people read it: one rule explained, and the page of all of them."""

from __future__ import annotations

from .._mistakes import RULES, Rule, floor_of_softmax
from ..errors import OptionError

__all__ = ["RULES", "STATES", "Rule", "explained", "floor_of_softmax", "known", "page", "rule_of"]

LEVELS = {
    "wrong": "computes something else than was meant",
    "inexact": "right in exact arithmetic, wrong in floating-point numbers",
    "note": "no number is wrong enough to report it unasked: `crossent check --notes`",
}


# What is reported of files that nobody could look at; these are no rules of the table, for no number is wrong.
STATES = {
    "invalid-syntax": Rule(
        "invalid-syntax",
        "not Python that this version can read",
        "what cannot be parsed was not looked at, so that it may hold any mistake",
        "run `crossent check` with a Python that can read it, or exclude it",
        bad="loss = F.cross_entropy(F.softmax(x, dim=1), y\n",
        good="loss = F.cross_entropy(x, y)\n",
    ),
    "not-analysed": Rule(
        "not-analysed",
        "not looked at",
        "so it may hold any mistake",
        "look at it yourself; make it smaller, or exclude it",
        bad="",
        good="",
    ),
}


def rule_of(name: str) -> Rule:
    """A rule of the table, or one of the two for what was not looked at."""
    return STATES[name] if name in STATES else RULES[name]


def known(name: str) -> str | None:
    """A rule's identifier as it is written, whatever the case; None for what is no rule."""
    return next((one for one in (name.upper(), name.lower()) if one in RULES or one in STATES), None)


def explained(name: str) -> str:
    """What goes wrong, the fix, and both examples of a rule.

    Raises
    ------
    OptionError
        For a rule that there is not.
    """
    given = known(name)
    if given is None:
        raise OptionError(f"there is no rule {name!r}: choose one of {', '.join([*RULES, *STATES])}")
    rule = rule_of(given)
    if given in STATES:
        return f"{rule.id}: {rule.title}\n\n{_sentence(rule.wrong)}\n\nFix: {_sentence(rule.fix)}"
    return (
        f"{rule.id}: {rule.title}\n\n"
        f"What goes wrong ({rule.level}: {LEVELS[rule.level]}): {_sentence(rule.wrong)}\n\n"
        f"Fix: {_sentence(rule.fix)}\n\n"
        f"Instead of\n\n{_indented(rule.bad)}\n\nwrite\n\n{_indented(rule.good)}\n\n"
        f"A comment `# crossent: ignore[{rule.id}]` on the line turns the rule off there."
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _indented(code: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in code.strip().splitlines())


def page() -> str:
    """The page of all rules, in Markdown; docs/rules.md is this text, and a test holds it to it."""
    rows = "\n".join(f"| [{r.id}](#{r.id.lower()}) | {r.title} | {r.level} |" for r in RULES.values())
    parts = "\n".join(_section(rule) for rule in RULES.values())
    return f"{HEAD}\n| Rule | Mistake | Level |\n|---|---|---|\n{rows}\n\n{LEVEL_LINES}\n{parts}"


HEAD = """# Rules of `crossent check`

Written by `make rules` from `src/crossent/_mistakes.py`; do not edit. Each example runs in the tests.
"""
LEVEL_LINES = "\n".join(f"- **{level}**: {meaning}" for level, meaning in LEVELS.items()) + "\n"


def _section(rule: Rule) -> str:
    loud = " PyTorch raises too.\n" if rule.loud else "\n"
    return (
        f"## {rule.id}\n\n**{rule.title}.** {_sentence(rule.wrong)}{loud}\nFix: {_sentence(rule.fix)}\n\n"
        f"```python\n# wrong\n{rule.bad.strip()}\n```\n\n```python\n# right\n{rule.good.strip()}\n```\n"
    )
