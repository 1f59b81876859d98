"""The command line's options on how a table is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from .options import ReadingOptions

__all__ = ["READING", "reading_flags", "reading_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
READING = ("sep", "quote", "na", "decimal", "header", "encoding", "text")  # what predict takes from its run


def reading_flags(command: Command) -> Command:
    """Add the options to a command; each leaves the file itself to say it where it is not given."""
    for flag in reversed(
        (
            click.option("--sep", metavar="CHARACTER", help="Between values; tab and blank are words for it."),
            click.option("--quote", metavar="CHARACTER", help="Around values that hold a separator; '' for none."),
            click.option("--na", multiple=True, metavar="WORD", help="Stands for a missing value. May be repeated."),
            click.option("--decimal", type=click.Choice([".", ","]), help="The decimal point."),
            click.option("--header/--no-header", default=None, help="Whether the first line names the columns."),
            click.option("--encoding", metavar="NAME", help="Of the text: utf-8, utf-16, cp1252, gb18030, …"),
            click.option(
                "--text", multiple=True, metavar="COLUMN", help="Holds words, though they may look like numbers."
            ),
        )
    ):
        command = flag(command)
    return command


def reading_options(arguments: Mapping[str, Any]) -> ReadingOptions:
    """The options as the readers take them; those that are not there are left to the file.

    Raises:
        OptionError: one is outside its range.
    """
    return ReadingOptions.of(
        separator=arguments.get("sep"),
        missing=tuple(arguments.get("na") or ()),
        text=tuple(arguments.get("text") or ()),
        drop=tuple(arguments.get("drop") or ()),
        **{name: arguments.get(name) for name in ("quote", "decimal", "header", "encoding")},
    )
