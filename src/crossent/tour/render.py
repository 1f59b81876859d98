"""Puts the tour's chapters, texts and results together into lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from crossent._mistakes import RULES
from crossent.errors import MissingDependencyError, OptionError

from .layout import table, width, wrap
from .lessons import LESSONS
from .pitfalls import PITFALLS
from .session import LIBRARIES, PRELUDE, Chapter, Results, Session, Step, has_torch
from .text_en import TEXT as ENGLISH
from .text_zh import TEXT as CHINESE

__all__ = ["CHAPTERS", "TEXTS", "Style", "pages", "style_for"]

CHAPTERS = (*LESSONS, PITFALLS)
TEXTS = {"en": ENGLISH, "zh": CHINESE}
COLUMNS = 80


def unstyled(text: str, **_: object) -> str:
    """Leave the text as it is."""
    return text


@dataclass(frozen=True)
class Style:
    """How lines look: `paint` is click.style or leaves the text alone."""

    paint: Callable[..., str] = unstyled
    bar: str = " | "
    rule: str = ""
    code: str = "    "
    colours: dict[str, dict[str, object]] = field(default_factory=dict)

    def __call__(self, role: str, text: str) -> str:
        """Paint the text in the colour of its role."""
        return self.paint(text, **self.colours.get(role, {}))


COLOURS: dict[str, dict[str, object]] = {
    "chapter": {"fg": "cyan", "bold": True},
    "step": {"bold": True},
    "code": {"fg": "green"},
    "head": {"fg": "cyan"},
    "note": {"fg": "bright_black"},
    "warning": {"fg": "yellow"},
}


def style_for(*, plain: bool) -> Style:
    """Plain text, or colour and box drawing by click."""
    if plain:
        return Style()
    try:
        import click
    except ImportError as error:
        raise MissingDependencyError("Colour needs click: pip install click, or ask for plain=True.") from error
    return Style(paint=click.style, bar=" │ ", rule="─", code="  ┃ ", colours=COLOURS)


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
        yield style("warning", text["no_torch"])
    yield ""
    yield from wrap(text["intro"], COLUMNS)
    for library in libraries:
        yield ""
        yield style("head", f"{LIBRARIES[library]}:")
        yield from _code(PRELUDE[library], style)
    for number, part in enumerate(CHAPTERS, start=1):
        if chapter in (None, number):
            yield from _chapter(number, part, text, libraries, style)
    if chapter is None:
        yield from ("", style("note", text["end"]))


def _chapter(number: int, chapter: Chapter, text: dict[str, str], libraries: list[str], style: Style) -> Iterator[str]:
    """Yield a chapter: its title and its steps."""
    title = f"{number}. {text[chapter.key]}"
    yield from ("", "", style("chapter", title))
    if style.rule:
        yield style("chapter", style.rule * width(title))
    sessions = [Session(library) for library in libraries]
    for place, step in enumerate(chapter.steps, start=1):
        yield ""
        yield style("step", f"{number}.{place} {text[f'{step.key}.title']}")
        yield from wrap(text[f"{step.key}.idea"], COLUMNS)
        yield ""
        yield from _listing(step, text, libraries, style)
        yield ""
        yield from _results(step, [session.run(step) for session in sessions], text, libraries, style)
        yield from (style("note", line) for line in wrap(text[f"{step.key}.note"], COLUMNS))
        if step.rule:
            found = f"{step.rule} {RULES[step.rule].title}: crossent check --explain {step.rule}"
            yield from (style("note", line) for line in wrap(found, COLUMNS))


def _listing(step: Step, text: dict[str, str], libraries: list[str], style: Style) -> Iterator[str]:
    """Yield the step's code, what only one library runs under that library's name."""
    yield from _code(step.code, style)
    for library in libraries:
        own = getattr(step, library)
        if own:
            yield ""
            yield style("head", text["only"].format(library=LIBRARIES[library]))
            yield from _code(own, style)


def _code(code: str, style: Style) -> Iterator[str]:
    """Yield the lines of some code, indented."""
    yield from (style.code + style("code", line) for line in code.splitlines())


def _results(
    step: Step, results: list[Results], text: dict[str, str], libraries: list[str], style: Style
) -> Iterator[str]:
    """Yield the table of results, one column a library, and the warnings that came with them."""
    head = [text["result"], *(LIBRARIES[library] for library in libraries)]
    rows = [[name, *(result.values[name] or "-" for result in results)] for name in step.shows]
    first, *rest = table([head, *rows], style.bar)
    yield style("head", first)
    yield from rest
    for library, result in zip(libraries, results, strict=True):
        for message in result.warnings:
            warning = text["warns"].format(library=LIBRARIES[library], message=message)
            yield from (style("warning", line) for line in wrap(warning, COLUMNS))
