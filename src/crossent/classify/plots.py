"""The report's pictures: inline SVG without fonts or scripts, and small PNGs for rows that are pictures."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .calibration import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .influence import Dependence, Importance

__all__ = [
    "confusion_matrix",
    "dependence_curve",
    "importance_bars",
    "learning_curves",
    "picture",
    "reliability_diagram",
]

Translate = Callable[[str], str]

BLUE, ORANGE, GREY, RED = "#2563eb", "#ea580c", "#94a3b8", "#dc2626"
COLORS = (BLUE, ORANGE, "#059669", "#9333ea", "#ca8a04", RED)
INK, QUIET, LINE = "#1e293b", "#64748b", "#e2e8f0"  # the page's: each becomes its variable, dark where the page is
VARIABLES = {INK: "var(--ink)", QUIET: "var(--quiet)", LINE: "var(--line)"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.titlesize": 12,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "legend.frameon": False,
}
MOST_CLASSES_IN_MATRIX = 30


def learning_curves(history: Sequence[dict[str, Any]], _: Translate = str) -> list[str]:
    """Loss by epoch, and held-out accuracy by epoch; `_` translates."""
    epochs = [record["epoch"] for record in history]
    marker = "o" if len(epochs) < 3 else ""

    def draw_loss(figure: Figure) -> None:
        axes = figure.subplots()
        for key, name, color in (("loss", _("training"), BLUE), ("held_out_loss", _("held-out"), ORANGE)):
            axes.plot(epochs, [record[key] for record in history], color=color, label=name, marker=marker)
        axes.set(xlabel=_("epoch"), title=_("Mean cross-entropy"))
        _show_decades(axes)
        axes.legend()

    def draw_accuracy(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(epochs, [record["held_out_accuracy"] for record in history], color=ORANGE, marker=marker)
        axes.set(xlabel=_("epoch"), title=_("Held-out accuracy"))
        axes.yaxis.set_major_formatter(_percent())

    return [
        _svg(draw_loss, (4.6, 3.4), "loss", "Training and held-out loss by epoch"),
        _svg(draw_accuracy, (4.6, 3.4), "accuracy", "Held-out accuracy by epoch"),
    ]


def reliability_diagram(title: str, table: Reliability, _: Translate = str) -> str:
    """Accuracy against confidence, with the number of rows in each bin below."""

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _draw_reliability(upper, lower, table, _)
        upper.set(title=f"{_(title)}: ECE {table.error:.1%}", ylabel=_("accuracy"))
        lower.set(xlabel=_("confidence"), ylabel=_("rows"))
        upper.legend(loc="upper left")

    return _svg(draw, (4.6, 5), f"reliability {title}", f"Accuracy against confidence, {title.lower()} calibration")


def _draw_reliability(upper: Axes, lower: Axes, table: Reliability, _: Translate) -> None:
    """A bar a bin, its gap to the diagonal, and its count below."""
    middles, width = (table.edges[:-1] + table.edges[1:]) / 2, 0.94 * table.edges[1]
    filled = table.counts > 0
    accuracy, gap = table.accuracy[filled], table.confidence[filled] - table.accuracy[filled]
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", label=_("calibrated"))
    upper.bar(middles[filled], accuracy, width, color=BLUE, label=_("accuracy"))
    upper.bar(middles[filled], gap, width, accuracy, color="#fecaca", edgecolor=RED, alpha=0.75, label=_("gap"))
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    upper.xaxis.set_major_formatter(_percent())
    upper.yaxis.set_major_formatter(_percent())
    lower.bar(middles, table.counts, width, color=GREY)


def confusion_matrix(counts: npt.NDArray[np.int64], classes: Sequence[str], _: Translate = str) -> str | None:
    """True class by predicted class as a heat map; None where there are too many classes to read one."""
    if len(classes) > MOST_CLASSES_IN_MATRIX:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        edges = np.arange(len(classes) + 1) - 0.5
        axes.pcolormesh(edges, edges, share, cmap=_see_through(), vmin=0, vmax=1)
        axes.set(aspect="equal")
        axes.invert_yaxis()
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if share[row, column] > 0.5 else INK if count else QUIET
            axes.text(column, row, f"{count}", ha="center", va="center", color=color)
        names, ticks = [_shortened(name) for name in classes], np.arange(len(classes))
        slanted: dict[str, Any] = (
            {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 3 else {}
        )
        axes.set_xticks(ticks, names, parse_math=False, **slanted)
        axes.set_yticks(ticks, names, parse_math=False)
        axes.set(xlabel=_("predicted"), ylabel=_("true"))
        axes.grid(visible=False)

    side = 2.4 + 0.42 * len(classes)
    return _svg(draw, (side + 0.6, side), "confusion-matrix", "True class by predicted class")


def _see_through() -> Any:
    """From nothing to blue: right on a light page and on a dark one."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("see-through", [f"{BLUE}00", f"{BLUE}ff"])


def importance_bars(found: Sequence[Importance], _: Translate = str) -> str:
    """A bar a column, the most important on top, with its interval."""

    def draw(figure: Figure) -> None:
        axes, places = figure.subplots(), np.arange(len(found))
        rises = np.array([column.rise for column in found])
        errors = np.maximum(0, np.abs(rises[:, 1:].T - rises[:, 0]))
        axes.barh(places, rises[:, 0], color=BLUE, xerr=errors, ecolor=GREY)
        axes.set_yticks(places, [_shortened(column.name, 30) for column in found], parse_math=False)
        axes.invert_yaxis()
        axes.set(xlabel=_("rise of the loss"))
        axes.grid(visible=False, axis="y")

    return _svg(draw, (5.6, 0.9 + 0.3 * len(found)), "importance", "Rise of the loss by shuffled column")


def dependence_curve(found: Dependence, classes: Sequence[str], shown: Sequence[int], _: Translate = str) -> str:
    """The mean probability of the `shown` classes by a column's value: curves for numbers, bars for texts."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        numbers = all(isinstance(value, float) for value in found.values)
        for place, label in enumerate(shown):
            color, name = COLORS[place % len(COLORS)], _shortened(classes[label])
            if numbers:
                axes.plot(found.values, found.probabilities[:, label], color=color, label=name)
            else:
                width = 0.8 / len(shown)
                places = np.arange(len(found.values)) + (place - (len(shown) - 1) / 2) * width
                axes.bar(places, found.probabilities[:, label], width, color=color, label=name)
        if not numbers:
            names = [_shortened(str(value), 12) for value in found.values]
            axes.set_xticks(np.arange(len(names)), names, parse_math=False)
        axes.set_title(_shortened(found.name, 40), parse_math=False)
        axes.set(ylim=(0, 1), ylabel=_("probability"))
        axes.yaxis.set_major_formatter(_percent())
        for text in axes.legend(fontsize=9).get_texts():
            text.set_parse_math(False)

    return _svg(draw, (4.6, 3.4), f"dependence {found.name}", "Mean probability by value")


def picture(pixels: npt.ArrayLike, shape: tuple[int, ...], lowest: float, highest: float) -> str:
    """One row as a picture: a PNG data URI, a pixel a pixel; grey from black (lowest) to white (highest), or RGB."""
    from matplotlib.image import imsave

    scaled = (np.asarray(pixels, dtype=np.float64).reshape(shape) - lowest) / ((highest - lowest) or 1.0)
    file = io.BytesIO()
    imsave(file, np.clip(scaled, 0, 1), cmap="gray", vmin=0, vmax=1, format="png", metadata={"Software": ""})
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _svg(draw: Callable[[Figure], None], size: tuple[float, float], name: str, description: str) -> str:
    """A figure as an <svg> element that scales with the page; the same data gives the same text."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    file = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has the glyphs that DejaVu lacks
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(file.getvalue(), description, round(size[0] * 72))


def _inline(svg: str, description: str, width: int) -> str:
    """The <svg> element of a file, sized by the page; without the group ids that two figures would share."""
    start = svg.index("<svg")
    view = re.search(r'viewBox="[^"]*"', svg)
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index(">", start) + 1 :], flags=re.DOTALL)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    opening = f'<svg {names} {view.group() if view else ""} role="img" aria-label="{description}"'
    for color, variable in VARIABLES.items():
        body = body.replace(color, variable)
    return f'{opening} style="max-width: {width}pt">{re.sub(r"<g id=.[^>]*?.>", "<g>", body)}'


def _percent() -> Any:
    """Axis labels in percent."""
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(xmax=1.0)


def _show_decades(axes: Axes) -> None:
    """A logarithmic axis, marked 0.1 rather than 10⁻¹, where the losses span more than a decade."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    lowest, highest = axes.dataLim.intervaly
    if 0 < 10 * lowest < highest:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _shortened(name: str, most: int = 18) -> str:
    """A class name that leaves room for the plot."""
    return name if len(name) <= most else name[: most - 1] + "…"
