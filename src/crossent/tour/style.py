"""How the tour's lines look: plain text, or colour and box drawing by click."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crossent.errors import MissingDependencyError

__all__ = ["Style", "style_for"]


def unstyled(text: str, **_: object) -> str:
    """Leave the text as it is."""
    return text


@dataclass(frozen=True)
class Style:
    """How lines look, and how long they may be: `paint` is click.style or leaves the text alone."""

    paint: Callable[..., str] = unstyled
    bar: str = " | "
    rule: str = ""
    code: str = "    "
    columns: int = 80
    colours: dict[str, dict[str, object]] = field(default_factory=dict)

    def __call__(self, role: str, text: str) -> str:
        """Paint the text in the colour of its role."""
        return self.paint(text, **self.colours.get(role, {}))


COLOURS: dict[str, dict[str, object]] = {
    "chapter": {"fg": "cyan", "bold": True},
    "step": {"bold": True},
    "code": {"fg": "green"},
    "head": {"fg": "cyan"},
    "bar": {"fg": "blue"},
    "note": {"fg": "bright_black"},
    "warning": {"fg": "yellow"},
}


def style_for(*, plain: bool, columns: int = 80) -> Style:
    """Plain text, or colour and box drawing by click."""
    if plain:
        return Style(columns=columns)
    try:
        import click
    except ImportError as error:
        raise MissingDependencyError("Colour needs click: pip install click, or ask for plain=True.") from error
    return Style(paint=click.style, bar=" │ ", rule="─", code="  ┃ ", columns=columns, colours=COLOURS)
