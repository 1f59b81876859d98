"""Runs the code of a step in one array library and writes down what its names then stand for."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossent.errors import MisuseWarning

__all__ = ["LIBRARIES", "PRELUDE", "Chapter", "Results", "Session", "Step", "has_torch", "shown"]

LIBRARIES = {"numpy": "NumPy", "torch": "PyTorch"}

PRELUDE = {
    "numpy": """\
import math, numpy as np, crossent
from numpy import amax, array, exp, eye, finfo, float32, float64, log""",
    "torch": """\
import math, numpy as np, torch, crossent
from torch import tensor as array
from torch import amax, exp, eye, finfo, float32, float64, log""",
}


@dataclass(frozen=True)
class Step:
    """Code that NumPy and PyTorch run alike, then code of one of them alone, and the names to show afterwards."""

    key: str
    code: str = ""
    numpy: str = ""
    torch: str = ""
    shows: tuple[str, ...] = ()
    bars: tuple[tuple[str, str], ...] = ()  # a name whose numbers are drawn, and the word for each: class, epoch
    digits: int = 4
    rule: str = ""  # of `crossent check`, which finds this mistake


@dataclass(frozen=True)
class Chapter:
    """Steps that share their names, as the cells of a notebook do; a chapter needs no other chapter."""

    key: str
    steps: tuple[Step, ...]


@dataclass
class Results:
    """The shown values by name ("" for a name that this library's code does not have), what was printed and warned."""

    values: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    printed: str = ""
    bars: dict[str, list[float]] = field(default_factory=dict)


class Session:
    """The names of one chapter in one array library."""

    def __init__(self, library: str) -> None:
        self.array_library = library
        self.names: dict[str, Any] = {}
        exec(PRELUDE[library], self.names)

    def run(self, step: Step) -> Results:
        """Run the step's code as it is shown; what it prints and warns of is kept."""
        printed = io.StringIO()
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
            warnings.simplefilter("always")
            for code in (step.code, getattr(step, self.array_library)):
                exec(code, self.names)
        heard = [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning | MisuseWarning)]
        values = {name: shown(self.names[name], step.digits) if name in self.names else "" for name in step.shows}
        bars = {name: np.asarray(self.names[name]).tolist() for name, _ in step.bars}
        return Results(values, list(dict.fromkeys(heard)), printed.getvalue(), bars)


def has_torch() -> bool:
    """Whether PyTorch can be imported."""
    try:
        import torch  # noqa: F401  # only whether it is there
    except ImportError:
        return False
    return True


def shown(value: Any, digits: int = 4) -> str:
    """Write a number, an array or a shape the same way for every library, such as [0.6590 0.2424 0.0986]."""
    if isinstance(value, tuple):
        return str(tuple(value))
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    array = np.asarray(value)
    if array.ndim:
        return _listed(array.tolist(), digits)
    number = array.item()
    return f"{number:.2e}" if 0 < abs(number) < 10.0 ** (1 - digits) else _fixed(number, digits)


def _listed(value: Any, digits: int) -> str:
    """Write nested lists of numbers in brackets."""
    if isinstance(value, list):
        return "[" + " ".join(_listed(element, digits) for element in value) + "]"
    return _fixed(value, digits)


def _fixed(number: float, digits: int) -> str:
    """Write a whole number whole, and any other with `digits` decimals; -0 as 0."""
    if isinstance(number, int) or not math.isfinite(number):
        return str(number)
    return f"{number:.{digits}f}" if round(number, digits) else f"{0:.{digits}f}"
