"""The command `crossent tour`."""

from __future__ import annotations

import os
import shutil
import sys

import click

from crossent.errors import OptionError

from .render import CHAPTERS, TEXTS, pages, style_for

__all__ = ["tour"]

CONTENTS = "\n".join(f"  {number}  {TEXTS['en'][chapter.key]}" for number, chapter in enumerate(CHAPTERS, start=1))


@click.command(epilog=f"\b\nChapters:\n{CONTENTS}")
@click.option(
    "--lang", type=click.Choice(list(TEXTS)), default="en", show_default=True, help="English, or Simplified Chinese."
)
@click.option("--chapter", type=int, metavar="N", help=f"Run only this chapter, 1 to {len(CHAPTERS)}.")
@click.option("--plain", is_flag=True, help="No colour and no box drawing: for pipes and screen readers.")
def tour(lang: str, chapter: int | None, plain: bool) -> None:
    """See softmax and cross-entropy at work, in NumPy and PyTorch side by side.

    Each step shows an idea, the code, and what the code gives now. Colour is left out where the output is not a
    terminal and where NO_COLOR is set.
    """
    encoding = sys.stdout.encoding or "utf-8"
    if lang == "zh" and not encodes("中", encoding):
        raise OptionError(f"--lang zh: the output's encoding, {encoding}, has no Chinese: set PYTHONIOENCODING=utf-8.")
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    plain = plain or not encodes("─│┃█▏", encoding)
    for line in pages(lang, chapter, style_for(plain=plain, columns=columns())):
        click.echo(line, color=colour)


def columns() -> int:
    """How long lines may be: as wide as the terminal, from 40 to 80; 80 in a pipe, unless COLUMNS says otherwise."""
    wide = shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else 80
    return min(80, max(40, wide))


def encodes(text: str, encoding: str) -> bool:
    """Whether the encoding has these characters."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
