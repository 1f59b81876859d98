"""What the site has beside Sphinx's own: pictures drawn by the program, equations as MathML, the playground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import docstrings, links, mathml, pages, picture

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the parts with Sphinx."""
    docstrings.setup(app)
    links.setup(app)
    mathml.setup(app)
    pages.setup(app)
    picture.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
