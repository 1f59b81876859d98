"""The picture of a run: time or memory over the size of the logits, both axes logarithmic, a panel a family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .cases import CROSSENT
from .peers import FLOORS, PEERS
from .results import BYTES, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "panels"]

Curve = list[tuple[int, float]]
COLOURS = ("#dc2626", "#2563eb", "#0891b2", "#7c3aed", "#16a34a", "#ca8a04", "#ea580c", "#78350f")
GREY = "#64748b"
FLOOR_STYLES = (":", "--", ":")
COLUMNS, WIDTH, HEIGHT = 2, 6.4, 4.6


def panels(results: Sequence[Result]) -> dict[str, dict[str, Curve]]:
    """Curves by family and peer: (elements, seconds or MiB) by rising size; families of one size only if all are."""
    found: dict[str, dict[str, Curve]] = {}
    for result in sorted(results, key=lambda result: result.case.size):
        unit = "peak memory" if result.rows and result.rows[0].unit == BYTES else "time"
        curves = found.setdefault(f"{result.case.family}: {unit}", {})
        for row in result.rows:
            if row.value is not None and row.value.middle > 0:
                value = row.value.middle / 2**20 if row.unit == BYTES else row.value.middle
                curves.setdefault(row.peer, []).append((result.case.size, value))
    several = {name: curves for name, curves in found.items() if any(len(curve) > 1 for curve in curves.values())}
    return several or {name: curves for name, curves in found.items() if curves}


def draw(results: Sequence[Result], title: str, file: Path) -> None:
    """Write the picture."""
    from matplotlib.figure import Figure

    found = panels(results)
    rows = max(1, -(-len(found) // COLUMNS))
    columns = min(COLUMNS, max(1, len(found)))
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for place, (name, curves) in zip(axes, found.items(), strict=False):
        _panel(place, name, curves)
    for unused in list(figure.axes)[len(found) :]:
        unused.set_axis_off()
    figure.savefig(file, dpi=130)


def _panel(axes: Axes, name: str, curves: dict[str, Curve]) -> None:
    """A family: a line a peer, floors dashed."""
    family, _, what = name.rpartition(": ")
    names = [peer.name for peer in PEERS]
    for peer, curve in curves.items():
        floor = peer in FLOORS
        colour = GREY if floor else COLOURS[names.index(peer) % len(COLOURS)]
        sizes, values = zip(*curve, strict=True)
        style = FLOOR_STYLES[FLOORS.index(peer)] if floor else "-"
        width = 2.4 if peer == CROSSENT else 1.4
        axes.plot(sizes, values, color=colour, linestyle=style, linewidth=width, marker="o", markersize=4, label=peer)
    axes.set(xscale="log", yscale="log", title=family, xlabel="logits (elements)")
    axes.set_ylabel("peak memory beyond the inputs (MiB)" if what == "peak memory" else "time (s)")
    axes.title.set_fontsize(9)
    axes.grid(visible=True, which="major", color="#e2e8f0")
    axes.legend(fontsize=8, frameon=False)
