"""How the pictures look: colours that people with any colour vision tell apart, on light and on dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Theme:
    """The colours of one theme."""

    name: str
    ink: str
    faint: str
    paper: str
    ours: str
    torch: str
    scipy: str
    numpy: str
    wrong: str

    def settings(self) -> dict[str, Any]:
        """Matplotlib's settings for this theme."""
        ink = dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor"),
            self.ink,
        )
        return {
            **ink,
            "svg.hashsalt": "crossent",
            "svg.fonttype": "path",
            "font.size": 10,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": self.faint,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "axes.titlesize": 10,
        }

    def of(self, who: str) -> str:
        """The colour of a library, by the start of its name."""
        starts = {"crossent": self.ours, "torch": self.torch, "PyTorch": self.torch, "scipy": self.scipy}
        starts |= {"SciPy": self.scipy, "scikit": self.scipy, "NumPy": self.numpy}
        return next((colour for start, colour in starts.items() if who.startswith(start)), self.faint)


THEMES = {
    "light": Theme("light", "#1f2937", "#d7dce3", "#ffffff", "#0072b2", "#d55e00", "#009e73", "#7b8794", "#b3261e"),
    "dark": Theme("dark", "#e5e7eb", "#3d4653", "#131416", "#56b4e9", "#f0a04b", "#2fc79b", "#9aa5b1", "#ff8a80"),
}
