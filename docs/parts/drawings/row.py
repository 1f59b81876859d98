"""One row of logits, what it leaves behind (m, r, t, w), and how the statistics of two halves are merged."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import crossent

from .style import Theme

LOGITS, TARGET = np.array([1.0, 3.0, 0.2, 2.0]), 3


def statistics(z: np.ndarray, q: np.ndarray) -> dict[str, float]:
    """What a row leaves behind; the sum leaves one maximum out."""
    m = z.max()
    others = np.delete(z, z.argmax())
    return {"m": m, "r": np.exp(others - m).sum(), "t": (q * (z - m)).sum(), "w": q.sum()}


def draw(theme: Theme) -> Figure:
    """Three panels: the logits and their maximum, what is summed, and the gradient that follows."""
    q = np.eye(len(LOGITS))[TARGET]
    found = statistics(LOGITS, q)
    loss, gradient = crossent.cross_entropy_with_grad(LOGITS, np.array(TARGET))
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    panels: Any = figure.subplots(1, 3)
    _logits(panels[0], theme, found)
    _sums(panels[1], theme, found)
    _gradient(panels[2], theme, gradient, float(loss))
    return figure


def _bars(axes: Axes, values: np.ndarray, colours: list[str], texts: list[str], theme: Theme) -> None:
    """Bars with their numbers at their ends."""
    bars = axes.bar(range(len(values)), values, color=colours, width=0.62)
    axes.bar_label(bars, texts, padding=2, color=theme.ink, fontsize=9)
    axes.set_xticks(range(len(values)), [f"class {i}" for i in range(len(values))])
    axes.grid(visible=False)
    axes.margins(y=0.2)


def _logits(axes: Axes, theme: Theme, found: dict[str, float]) -> None:
    """The logits z, the maximum m, the distance t of the true class from it."""
    colours = [theme.torch if i == TARGET else theme.numpy for i in range(len(LOGITS))]
    _bars(axes, LOGITS, colours, [f"{z:g}" for z in LOGITS], theme)
    axes.axhline(found["m"], color=theme.ink, linewidth=1, linestyle="--")
    axes.text(3.5, found["m"] + 0.06, f"m = {found['m']:g}", ha="right", va="bottom")
    axes.annotate(
        "",
        (TARGET + 0.4, LOGITS[TARGET]),
        (TARGET + 0.4, found["m"]),
        arrowprops={"arrowstyle": "->", "color": theme.ink},
    )
    axes.annotate(
        f"t = {found['t']:g}", (TARGET + 0.46, found["m"] - 0.5), annotation_clip=False, va="center", color=theme.torch
    )
    axes.set_title("one pass over the logits z\n(the true class in orange)")


def _sums(axes: Axes, theme: Theme, found: dict[str, float]) -> None:
    """exp(z − m): the maximum gives 1, the others give r."""
    heights = np.exp(LOGITS - found["m"])
    colours = [theme.faint if z == found["m"] else theme.ours for z in LOGITS]
    _bars(axes, heights, colours, [f"{h:.3f}" for h in heights], theme)
    title = "exp(z − m): the others sum to\nr = " + f"{found['r']:.3f}; the maximum's 1 is left out"
    axes.set_title(title)


def _gradient(axes: Axes, theme: Theme, gradient: np.ndarray, loss: float) -> None:
    """What follows: the loss, and a gradient for each class as an arrow."""
    for place, slope in enumerate(gradient):
        colour = theme.torch if place == TARGET else theme.ours
        axes.annotate("", (place, slope), (place, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2.4})
        axes.text(place, slope + (0.05 if slope > 0 else -0.05), f"{slope:+.3f}", ha="center", fontsize=9,
                  va="bottom" if slope > 0 else "top")  # fmt: skip
    axes.axhline(0, color=theme.ink, linewidth=0.8)
    axes.set(xlim=(-0.6, 3.6), ylim=(-1.0, 0.9))
    axes.set_xticks(range(len(gradient)), [f"class {i}" for i in range(len(gradient))])
    axes.grid(visible=False)
    axes.set_title(f"what follows: loss = w·log1p(r) − t = {loss:.3f}\ngradient = w·softmax(z) − q")


def draw_merge(theme: Theme) -> Figure:
    """Two halves of a row, and the whole: the statistics of the halves suffice."""
    q = np.eye(len(LOGITS))[TARGET]
    boxes = {
        "first half": (0.0, 1.2, statistics(LOGITS[:2], q[:2])),
        "second half": (0.0, 0.0, statistics(LOGITS[2:], q[2:])),
        "the row": (2.4, 0.6, statistics(LOGITS, q)),
    }
    figure = Figure(figsize=(7.6, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(-0.9, 3.4), ylim=(-0.45, 1.65))
    for name, (x, y, found) in boxes.items():
        text = f"{name}\n" + "   ".join(f"{key} = {value:.3g}" for key, value in found.items())
        box = {"boxstyle": "round,pad=0.5", "facecolor": "none", "edgecolor": theme.ours, "linewidth": 1.4}
        axes.text(x, y, text, ha="center", va="center", fontsize=9, bbox=box)
    for y in (1.2, 0.0):
        axes.annotate("", (1.62, 0.6), (0.82, y), arrowprops={"arrowstyle": "-|>", "color": theme.ink})
    axes.text(1.24, 0.6, "merge", ha="center", va="center", fontsize=9)
    return figure
