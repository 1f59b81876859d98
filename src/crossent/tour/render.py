"""Puts the tour's chapters, texts and results together into lines."""

from __future__ import annotations

from collections.abc import Iterator

from crossent._mistakes import RULES
from crossent.errors import OptionError

from .layout import bars, pad, table, width, wrap
from .lessons import LESSONS
from .pitfalls import PITFALLS
from .session import LIBRARIES, PRELUDE, Chapter, Results, Session, Step, has_torch
from .style import Style, style_for
from .text_en import TEXT as ENGLISH
from .text_zh import TEXT as CHINESE

__all__ = ["CHAPTERS", "TEXTS", "pages", "style_for"]

CHAPTERS = (*LESSONS, PITFALLS)
TEXTS = {"en": ENGLISH, "zh": CHINESE}


def pages(lang: str, chapter: int | None, style: Style) -> Iterator[str]:
    """Check the options, then yield the tour line by line, computed as it goes."""
    if lang not in TEXTS:
        raise OptionError(f"lang={lang!r} is not a language of the tour: choose {' or '.join(map(repr, TEXTS))}.")
    if chapter is not None and (isinstance(chapter, bool) or chapter not in range(1, len(CHAPTERS) + 1)):
        raise OptionError(f"chapter={chapter} is not a chapter of the tour: choose 1 to {len(CHAPTERS)}.")
    return _pages(TEXTS[lang], chapter, style)


def _pages(text: dict[str, str], chapter: int | None, style: Style) -> Iterator[str]:
    """Yield the opening, the chapters and the closing line."""
    libraries = [library for library in LIBRARIES if library == "numpy" or has_torch()]
    yield style("chapter", text["tour"])
    if len(libraries) < len(LIBRARIES):
        yield from _wrapped(text["no_torch"], style, "warning")
    yield ""
    yield from wrap(text["intro"], style.columns)
    for library in libraries:
        yield ""
        yield style("head", text["only"].format(library=LIBRARIES[library]))
        yield from _code(PRELUDE[library], style)
    for number, part in enumerate(CHAPTERS, start=1):
        if chapter in (None, number):
            yield from _chapter(number, part, text, libraries, style)
    if chapter is None:
        yield from ("", style("note", text["end"]))


def _wrapped(text: str, style: Style, role: str) -> Iterator[str]:
    """Yield the lines of a text, each painted."""
    yield from (style(role, line) for line in wrap(text, style.columns))


def _chapter(number: int, chapter: Chapter, text: dict[str, str], libraries: list[str], style: Style) -> Iterator[str]:
    """Yield a chapter: its title and its steps."""
    title = f"{number}. {text[chapter.key]}"
    yield from ("", "", *_wrapped(title, style, "chapter"))
    if style.rule:
        yield style("chapter", style.rule * min(width(title), style.columns))
    sessions = [Session(library) for library in libraries]
    for place, step in enumerate(chapter.steps, start=1):
        yield ""
        yield from _wrapped(f"{number}.{place} {text[f'{step.key}.title']}", style, "step")
        yield from wrap(text[f"{step.key}.idea"], style.columns)
        yield ""
        yield from _listing(step, text, libraries, style)
        yield ""
        yield from _results(step, [session.run(step) for session in sessions], text, libraries, style)
        yield from _wrapped(text[f"{step.key}.note"], style, "note")
        if step.rule:
            title = text.get(f"rule.{step.rule}", RULES[step.rule].title)
            yield from _wrapped(text["rule"].format(rule=step.rule, title=title), style, "note")


def _listing(step: Step, text: dict[str, str], libraries: list[str], style: Style) -> Iterator[str]:
    """Yield the step's code, what only one library runs under that library's name."""
    yield from _code(step.code, style)
    first = not step.code
    for library in libraries:
        own = getattr(step, library)
        if own:
            yield from () if first else ("",)
            yield style("head", text["only"].format(library=LIBRARIES[library]))
            yield from _code(own, style)
            first = False


def _code(code: str, style: Style) -> Iterator[str]:
    """Yield the lines of some code, indented."""
    yield from (style.code + style("code", line) for line in code.splitlines())


def _results(
    step: Step, results: list[Results], text: dict[str, str], libraries: list[str], style: Style
) -> Iterator[str]:
    """Yield what the libraries found: the table, what they printed, the bars, and the warnings that came with them."""
    names = [LIBRARIES[library] for library in libraries]
    if step.shows:
        yield from _table(step, results, text["result"], names, style)
    for library, result in zip(names, results, strict=True):
        if result.printed:
            yield style("head", text["prints"].format(library=library))
            yield from ("    " + line for line in result.printed.splitlines())
    for name, word in step.bars:
        yield style("head", name)
        drawn = bars(results[0].bars[name], text[word], style.columns, plain=not style.rule)
        yield from (style("bar", line) for line in drawn)
    for library, result in zip(names, results, strict=True):
        for message in result.warnings:
            yield from _wrapped(text["warns"].format(library=library, message=message), style, "warning")


def _table(step: Step, results: list[Results], head: str, names: list[str], style: Style) -> Iterator[str]:
    """Yield the results side by side, one column a library; one below the other where they are too wide."""
    rows = [[head, *names]]
    for name in step.shows:
        rows += _rows(name, [result.values[name] or "-" for result in results])
    first, *rest = table(rows, style.bar)
    if max(map(width, (first, *rest))) <= style.columns:
        yield style("head", first)
        yield from rest
        return
    longest = max(map(width, names))
    for name in step.shows:
        yield style("head", name)
        for library, result in zip(names, results, strict=True):
            for line, value in enumerate((result.values[name] or "-").replace("] [", "]\n [").splitlines()):
                yield f"  {pad(library if line == 0 else '', longest)}  {value}"


def _rows(name: str, values: list[str]) -> Iterator[list[str]]:
    """Yield the lines of a result: one for each row of a matrix."""
    cells = [value.replace("] [", "]\n [").splitlines() for value in values]
    for line in range(max(map(len, cells))):
        yield [name if line == 0 else "", *(cell[line] if line < len(cell) else "" for cell in cells)]
