"""Equations as MathML, which browsers show themselves: no script is fetched, and pages work from file://."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import latex2mathml.converter

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    """Take this renderer for equations."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    app.config.html_math_renderer = "mathml"  # type: ignore[attr-defined]


def inline(translator: Any, node: nodes.math) -> None:
    """Write an equation within a line."""
    write(translator, node, "inline")


def block(translator: Any, node: nodes.math_block) -> None:
    """Write an equation of its own."""
    write(translator, node, "block")


def write(translator: Any, node: Any, display: str) -> None:
    """Write the equation, and nothing of what the node holds."""
    from docutils.nodes import SkipNode

    translator.body.append(latex2mathml.converter.convert(node.astext(), display=display))
    raise SkipNode
