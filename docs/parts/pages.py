"""Pages that are written by the program while the site is built, and the page to play with, which is copied."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]
GENERATED = DOCS / "generated"
BETWEEN_CHINESE = re.compile(r"(?<=[\u2e80-\uffff])\n(?=[\u2e80-\uffff])")


def setup(app: Sphinx) -> None:
    """Write the tour and the commands before the pages are read; copy the playground when they are written."""
    app.connect("builder-inited", lambda _: write_tour(GENERATED))
    app.connect("builder-inited", lambda _: write_commands(GENERATED / "commands.md"))
    app.connect("source-read", join_chinese)
    app.connect("html-page-context", speak_chinese)
    app.connect("build-finished", copy_playground)


def write_tour(folder: Path) -> None:
    """Write what `crossent tour` prints, in both languages, for the tour's pages to include."""
    from crossent import tour

    folder.mkdir(exist_ok=True)
    for lang in ("en", "zh"):
        text = io.StringIO()
        tour.run(lang=lang, file=text)
        path = folder / f"tour_{lang}.txt"
        path.write_text(text.getvalue(), encoding="utf-8")


def write_commands(path: Path) -> None:
    """Write what `--help` says of every command, as a page includes it."""
    import click

    from crossent.cli import main

    with click.Context(main, info_name="crossent") as whole:
        commands = [(name, main.get_command(whole, name)) for name in main.list_commands(whole)]
        parts = [section(f"crossent {name}", command, whole) for name, command in commands if command is not None]
    path.write_text("\n".join(parts), encoding="utf-8")


def section(title: str, command: Any, whole: Any) -> str:
    """One command's help under its name, and that of its subcommands."""
    with command.make_context(title.rsplit(maxsplit=1)[-1], [], parent=whole, resilient_parsing=True) as context:
        text = f"## {title}\n\n```text\n{command.get_help(context)}\n```\n"
        inner = getattr(command, "commands", {})
        return text + "".join(section(f"{title} {name}", each, context) for name, each in inner.items())


def join_chinese(app: Sphinx, docname: str, source: list[str]) -> None:
    """Join lines that break between Chinese characters: a browser would show a space there."""
    if docname.startswith("zh/"):
        source[0] = BETWEEN_CHINESE.sub("", source[0])


def speak_chinese(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell browsers and screen readers which pages are in Chinese."""
    if pagename.startswith("zh/"):
        context["language"] = "zh-CN"


def copy_playground(app: Sphinx, failure: Exception | None) -> None:
    """Put the playground beside the pages, as it is: it needs no building."""
    if failure is None and app.builder.format == "html" and (DOCS / "playground").exists():
        shutil.copytree(DOCS / "playground", Path(app.outdir) / "playground", dirs_exist_ok=True)
