"""The directive `picture`: a drawing of the program's own numbers, for light and for dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives

from . import drawings
from .pages import GENERATED

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Picture(Directive):
    """A figure that has the same drawing twice, one shown on light pages and one on dark."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Name the two files; the pages' style shows one of them."""
        name = self.arguments[0]
        figure = nodes.figure(classes=["picture"])
        for theme in drawings.THEMES:
            uri = f"/generated/{name}-{theme}.svg"
            figure += nodes.image(uri=uri, alt=self.options["alt"], classes=[f"only-{theme}"])
        if self.content:
            caption = nodes.caption()
            text, messages = self.state.inline_text(" ".join(self.content), self.lineno)
            caption += text
            figure += caption
            return [figure, *messages]
        return [figure]


def setup(app: Sphinx) -> None:
    """Draw before the pages are read."""
    app.add_directive("picture", Picture)
    app.connect("builder-inited", lambda _: drawings.draw_all(GENERATED))
