"""The house in one picture: which folder stands on which, as its sources import each other."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

import crossent

from .style import Theme

SOURCE = Path(crossent.__file__).parent
# From the top down; an import goes from a floor to one below it, or along it.
FLOORS = (
    ("what stands on the face", ("classify", "checks", "bench", "tour", "distributed", "integrations")),
    ("PyTorch's modules", ("nn", "models")),
    ("the face: what is called", ("softmax", "losses", "binary", "linear", "selective")),
    ("which way a call takes", ("_ways",)),
    ("each library's own way", ("_torch", "_linear", "_jax", "_mlx")),
    ("what rows tell", ("_statistics",)),
    ("the door, and the rooms", ("_door", "backends", "_reduction")),
    ("what a call is", ("_call", "_functions")),
    ("the mathematics, once", ("_definition",)),
)
BESIDE = (
    "cli",
    "errors",
    "_mistakes",
    "_files",
    "_system",
)  # used from everywhere, or by one alone


def homeless() -> set[str]:
    """The files and folders that are on no floor: public ones go to the top, private ones must be given a place."""
    exists = {path.stem for path in SOURCE.iterdir() if path.is_dir() or path.suffix == ".py"}
    return exists - {name for _, names in FLOORS for name in names} - {*BESIDE, "__init__", "__main__", "__pycache__"}


def standing() -> list[tuple[str, list[str]]]:
    """The floors, with the files and folders that there are."""
    exists = {path.stem for path in SOURCE.iterdir() if path.is_dir() or path.suffix == ".py"}
    floors = [(what, [name for name in names if name in exists]) for what, names in FLOORS]
    floors[0][1].extend(sorted(name for name in homeless() if not name.startswith("_")))
    return [(what, names) for what, names in floors if names]


def draw(theme: Theme) -> Figure:
    """A floor a line, a box a file or folder."""
    floors = standing()
    figure = Figure(figsize=(9.2, 0.72 * len(floors)), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, 10), ylim=(-len(floors) + 0.4, 0.6))
    for place, (what, names) in enumerate(floors):
        axes.text(0, -place, what, va="center", fontsize=9)
        for number, name in enumerate(names):
            box = {"boxstyle": "round,pad=0.4", "facecolor": "none", "edgecolor": theme.ours}
            x = 2.9 + 7.1 * (number + 0.5) / len(names)
            axes.text(x, -place, name, ha="center", va="center", fontsize=9, bbox=box, family="monospace")
        if place:
            axes.axhline(0.5 - place, color=theme.faint, linewidth=0.8)
    return figure
