"""Looks at the finished pages: every link within the site leads somewhere, and nothing is fetched from a network."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FETCHED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("object", "data")}
SCRIPTED = ("search.html", "genindex.html")  # their anchors are made by scripts


def setup(app: Sphinx) -> None:
    """Look last, when the playground is there too."""
    app.connect("build-finished", look, priority=900)


class Page(HTMLParser):
    """What a page names (ids), where it leads (links), and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag has."""
        for name, value in attrs:
            if value and name in ("id", "name"):
                self.names.add(value)
            elif value and (tag, name) in FETCHED:
                self.fetched.add(value)
            elif value and (tag, name) == ("a", "href"):
                self.links.add(value)


def look(app: Sphinx, failure: Exception | None) -> None:
    """Fail the build over what is wrong."""
    from sphinx.errors import ExtensionError

    if failure is None and app.builder.format == "html":
        wrong = problems(Path(app.outdir))
        if wrong:
            raise ExtensionError("\n".join(wrong))


def problems(folder: Path) -> list[str]:
    """One line for each broken link and each thing that would come from a network."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    wrong = []
    for path, page in pages.items():
        own = path.relative_to(folder.resolve())
        wrong += [f"{own} fetches {link}" for link in sorted(page.fetched) if urlsplit(link).netloc]
        wrong += [
            f"{own} links to {link}, which is not there"
            for link in sorted(page.links | page.fetched)
            if not urlsplit(link).scheme and not urlsplit(link).netloc and not leads(path, link, pages)
        ]
    return sorted(wrong)


def leads(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a relative link finds its file, and its place there."""
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target = target / "index.html"
    if target not in pages:
        return target.exists()
    place = unquote(parts.fragment)
    return not place or place in pages[target].names or target.name in SCRIPTED
