"""`strict`: warnings about misuse become errors."""

from __future__ import annotations

import warnings

from ..errors import MisuseWarning

__all__ = ["strict"]


class strict:  # noqa: N801  # reads as the statement that it is
    """Make warnings about misuse errors: from this call on, or in a `with` block.

    Raises
    ------
    MisuseWarning
        Where crossent would warn.

    Examples
    --------
    >>> import numpy as np, crossent
    >>> with crossent.checks.strict():
    ...     crossent.cross_entropy(np.array([[3.0], [-2.0]]), np.array([0, 0]))
    Traceback (most recent call last):
        ...
    crossent.errors.MisuseWarning: one class: softmax over one output unit is 1, so this loss is 0 for ever; ...
    """

    def __init__(self) -> None:
        warnings.simplefilter("error", MisuseWarning)
        self._filter = warnings.filters[0]

    def __enter__(self) -> strict:
        """Warnings are errors since the call."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the filter away again."""
        if self._filter in warnings.filters:
            warnings.filters.remove(self._filter)  # type: ignore[attr-defined]  # a list at run time
