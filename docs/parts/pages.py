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
    """Write the tour before the pages are read; copy the playground when they are written."""
    app.connect("builder-inited", lambda _: write_tour(GENERATED))
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
