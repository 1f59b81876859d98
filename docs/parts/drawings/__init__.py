"""The site's pictures: each is drawn from numbers that the program computes now, once for each theme."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from . import house, learning, numerics, row, speed
from .style import THEMES, Theme

__all__ = ["DRAWINGS", "THEMES", "draw_all"]

DRAWINGS: dict[str, Callable[[Theme], Figure]] = {
    "row": row.draw,
    "merge": row.draw_merge,
    "confident": numerics.draw_confident,
    "offset": numerics.draw_offset,
    "dtypes": numerics.draw_dtypes,
    "saturation": numerics.draw_saturation,
    "speed": speed.draw_speed,
    "small": speed.draw_small,
    "memory": speed.draw_memory,
    "scaling": speed.draw_scaling,
    "linear": speed.draw_linear,
    "floor": learning.draw_floor,
    "house": house.draw,
}


def draw_all(folder: Path) -> None:
    """Draw every picture into the folder."""
    folder.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        for theme in THEMES.values():
            save(draw, theme, folder / f"{name}-{theme.name}.svg")


def save(draw: Callable[[Theme], Figure], theme: Theme, path: Path) -> None:
    """Draw one picture in one theme; the same numbers give the same bytes."""
    with mpl.rc_context(theme.settings()):
        figure = draw(theme)
        figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight", transparent=True)
