"""Checks of single numbers that several parts take as arguments."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

from ..errors import OptionError

__all__ = ["real_number", "whole_number"]


def whole_number(name: str, value: Any, least: int = 1, hint: str = "") -> int:
    """Return a whole number of at least `least`, or raise an OptionError that names the argument."""
    try:
        number = least - 1 if type(value) is bool else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise OptionError(f"{name} must be a whole number of at least {least}; got {value!r}{hint}.")
    return number


def real_number(
    name: str, value: Any, least: float = -math.inf, above: float = -math.inf, most: float = math.inf
) -> float:
    """Return a finite number inside its range, or raise an OptionError that names the argument and the range."""
    real = type(value) is not bool and isinstance(value, numbers.Real) and math.isfinite(value)
    if not real or not (least <= value <= most and value > above):
        low = f"above {above}" if above > -math.inf else f"of at least {least}"
        high = f" and at most {most}" if most < math.inf else ""
        raise OptionError(f"{name} must be a number {low}{high}; got {value!r}.")
    return float(value)
