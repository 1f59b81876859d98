"""Times and memory of the last full benchmark, as benchmarks/RESULTS.md has them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from .. import results
from .style import Theme

BACKWARD = "forward + backward"
MEBIBYTE = 2.0**20


def _chosen(cases: results.Cases, wanted: Callable[[str], object], least: int = 2) -> results.Cases:
    """The cases that are wanted and have several libraries."""
    return {name: found for name, found in cases.items() if wanted(name) and len(found) >= least}


def _bars(axes: Axes, cases: results.Cases, unit: float, theme: Theme, ordinate: str) -> None:
    """Horizontal bars, a group a case, a colour a library, shades of grey for what no library can go below."""
    names = list(dict.fromkeys(name for found in cases.values() for name in found))
    extra = iter(("#b07aa1", "#8c6d31", "#9c9ede", "#637939", "#ad494a"))
    plain = {name: next(extra, theme.faint) for name in names if theme.of(name) == theme.faint and "copy" not in name}
    height = 0.8 / len(names)
    for place, name in enumerate(names):
        spots = [i + height * place for i, found in enumerate(cases.values()) if name in found]
        values = [found[name] / unit for found in cases.values() if name in found]
        colour = _shade(theme, name, plain)
        bars = axes.barh(spots, values, height * 0.9, color=colour, label=name)
        axes.bar_label(
            bars,
            [f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values],
            padding=2,
            fontsize=7,
            color=theme.ink,
        )
    axes.set_yticks(np.arange(len(cases)) + 0.4 - height / 2, [_short(name) for name in cases])
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel=ordinate)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(right=axes.get_xlim()[1] * 1.5)
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)


def _shade(theme: Theme, name: str, plain: dict[str, str]) -> str:
    """A library's colour; torch.compile and torch chunked apart from torch itself."""
    if name in plain:
        return plain[name]
    if name.startswith("torch") and name != "torch eager":
        return {"torch.compile": "#e5a84b", "torch chunked": "#c77b58"}.get(name, theme.torch)
    return theme.of(name)


def _short(name: str) -> str:
    """A case's name on two lines: what is computed, and the options that are not the usual ones."""
    kind, *rest = name.split(", ")
    return "\n".join([kind, ", ".join(part for part in rest if part not in ("torch", BACKWARD))]).rstrip()


def _figure(theme: Theme, cases: results.Cases, unit: float, ordinate: str) -> Figure:
    """The picture of some cases."""
    if not cases:
        raise ValueError("no such case in benchmarks/RESULTS.md: its tables have changed")
    figure = Figure(figsize=(8.4, 0.9 + 0.95 * len(cases)), layout="constrained")
    _bars(figure.subplots(), cases, unit, theme, ordinate)
    return figure


def draw_speed(theme: Theme) -> Figure:
    """Forward and backward of large batches."""
    seconds, _ = results.read()
    large = _chosen(seconds, lambda name: BACKWARD in name and name.startswith("cross_entropy") and "32000" in name)
    return _figure(theme, large, 1e-3, "milliseconds (logarithmic)")


def draw_small(theme: Theme) -> Figure:
    """Forward and backward of small batches, where the call is everything."""
    seconds, _ = results.read()
    sizes = ("32×2,", "64×10,", "256×100,", "64×1000,", "512×128,")
    small = _chosen(seconds, lambda name: name.startswith("cross_entropy float32") and name.endswith(BACKWARD)
                    and any(size in name for size in sizes))  # fmt: skip
    return _figure(theme, small, 1e-6, "microseconds (logarithmic)")


def sizes_of(case: str) -> list[int]:
    """The sizes in a case's name: [4096, 32000] for "cross_entropy float32 4096×32000, torch, forward"."""
    name, _, _ = case.partition(",")
    return [int(size) for size in name.rpartition(" ")[2].split("×")]


def draw_scaling(theme: Theme) -> Figure:
    """Time over the number of logits, and the linear loss's memory over the number of rows; both axes logarithmic."""
    seconds, sizes = results.read()
    plain = _chosen(
        seconds, lambda name: re.fullmatch(rf"cross_entropy float32 [\d×]+, torch, {re.escape(BACKWARD)}", name)
    )
    linear = _chosen(sizes, lambda name: name.startswith("linear float32"), least=1)
    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    panels: Any = figure.subplots(1, 2)
    _lines(panels[0], {math.prod(sizes_of(name)): found for name, found in plain.items()}, 1e-3, theme)
    panels[0].set(xlabel="logits", ylabel="milliseconds", title="cross-entropy, forward + backward")
    _lines(panels[1], {sizes_of(name)[0]: found for name, found in linear.items()}, MEBIBYTE, theme)
    panels[1].set(xlabel="rows", ylabel="MiB beyond the inputs", title="linear layer and loss, 32000 classes")
    return figure


def _lines(axes: Axes, found: dict[int, dict[str, float]], unit: float, theme: Theme) -> None:
    """A line a library, over what is along the axis."""
    for name in dict.fromkeys(name for each in found.values() for name in each):
        points = sorted((place, each[name] / unit) for place, each in found.items() if name in each)
        if len(points) > 1:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3.5, color=_shade(theme, name, {}), label=name)
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(fontsize=9)


def draw_memory(theme: Theme) -> Figure:
    """Peak memory beyond the inputs."""
    _, sizes = results.read()
    return _figure(
        theme, _chosen(sizes, lambda name: BACKWARD in name), MEBIBYTE, "MiB beyond the inputs (logarithmic)"
    )


def draw_linear(theme: Theme) -> Figure:
    """A linear layer with its loss."""
    seconds, _ = results.read()
    linear = _chosen(seconds, lambda name: name.startswith("linear") and BACKWARD in name and "32000" in name)
    return _figure(theme, linear, 1e-3, "milliseconds (logarithmic)")
