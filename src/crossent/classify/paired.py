"""The difference of two classifiers on the same rows, with an interval by the paired bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Difference", "difference", "mean_interval"]

DRAWS = 2000


class Difference(NamedTuple):
    """A mean difference and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return not self.low <= 0 <= self.high

    def points(self, _: Callable[..., str] = str.format) -> str:
        """A difference of shares, in percentage points; `_` translates."""
        value, low, high = (f"{100 * share:+.1f}" for share in self)
        return _("{value} points (95 % interval {low} to {high})", value=value, low=low, high=high)

    def nats(self) -> str:
        """A difference of losses."""
        return f"{self.value:+.4f} (95 % interval {self.low:+.4f} to {self.high:+.4f})"


def mean_interval(values: npt.ArrayLike, seed: int = 0) -> Difference:
    """The mean of values, one a row, with its 95 % interval over draws of the rows.

    Example:
        >>> mean_interval([1.0, 1.0, 1.0])
        Difference(value=1.0, low=1.0, high=1.0)

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile intervals).
    """
    rows = np.asarray(values, np.float64)
    random = np.random.default_rng(seed)
    means = [rows[random.integers(0, len(rows), len(rows))].mean() for _ in range(DRAWS if len(rows) < 20_000 else 200)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(rows.mean()), float(low), float(high))


def difference(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Difference:
    """The mean of first − second, row by row."""
    return mean_interval(np.asarray(first, np.float64) - np.asarray(second, np.float64))
