"""Scores as one HTML page that needs nothing but a browser."""

from __future__ import annotations

from importlib.resources import files

from .scoring import Scores
from .text import class_rows, compared, shown

__all__ = ["render"]

MOST_CLASSES = 1000


def render(scores: Scores, size: int | None, command: str) -> str:
    """Render the page; every text from outside is escaped."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from crossent.classify import plots
    from crossent.classify.report import STYLE

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("score.html.jinja").read_text(encoding="utf-8"))
    rows, left_out = class_rows(scores, MOST_CLASSES)
    diagrams = [("Reliability", scores.reliability)]
    if scores.comparison:
        diagrams.append(("The other's", scores.comparison.scores.reliability))
    page: str = template.render(
        style=Markup(STYLE),
        facts=shown(scores, size),
        comparison=compared(scores.comparison) if scores.comparison else [],
        diagrams=[Markup(plots.reliability_diagram(name, table)) for name, table in diagrams],
        rows=rows,
        left_out=left_out,
        command=command,
    )
    return page
