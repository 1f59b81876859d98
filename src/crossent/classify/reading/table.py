"""What every reader gives: a table of named columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "named", "not_a", "one_line"]

Array = npt.NDArray[Any]
STORED_INDEX = "__index_level_0__"


@dataclass(frozen=True)
class Table:
    """What a source holds: named columns; the labels, where it keeps them apart; a test part, where it has one.

    `named` says whether the columns have names of their own, so that one of them may be the target. `written` gives
    a column's cells as the file has them, None where one is empty: what a label is made of. `notes` say what was
    guessed.
    """

    columns: pd.DataFrame
    labels: Array | None = None
    picture_shape: tuple[int, ...] | None = None
    test: Table | None = None
    named: bool = True
    written: Callable[[str], list[Any]] | None = None
    notes: tuple[str, ...] = ()


def named(
    columns: pd.DataFrame,
    names: Sequence[Any],
    path: Path,
    written: Callable[[int], list[Any]],
    notes: Sequence[str] = (),
) -> Table:
    """A table whose columns bear these names, as text; one name twice, or no row, is refused.

    A first column without a name numbers the rows and is left out; another is called by its place.
    """
    shown = ["" if name is None else re.sub(r"\s+", " ", str(name)).strip() for name in names]
    index = [place for place, name in enumerate(shown) if name == STORED_INDEX or (place == 0 and not name)]
    shown = [name or f"column{place + 1}" for place, name in enumerate(shown)]
    times = Counter(shown)
    twice = sorted(name for name, count in times.items() if count > 1)
    if twice:
        raise DataError(
            f"{path}: more than one column is named {twice[0]!r} ({times[twice[0]]} are); rename them, or one "
            "would be learned from the other"
        )
    if columns.empty:
        raise DataError(f"{path} has no rows; a header line and at least two rows are needed")
    said = ["the first column has no name, as row numbers have none, and is left out"] if 0 in index else []
    columns = columns.set_axis(shown, axis=1).drop(columns=[shown[place] for place in index])
    return Table(
        columns,
        picture_shape=_picture_shape_of(columns),
        written=lambda name: written(shown.index(name)),
        notes=(*notes, *said),
    )


def one_line(error: Exception) -> str:
    """The first line of what a library says, or the error's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def not_a(path: Path, kind: str, error: Exception) -> DataError:
    """What to raise where a library cannot read a file; what is said of the file already stays."""
    if isinstance(error, DataError):
        return error
    return DataError(f"{path} is not {kind}: {one_line(error)}")


def _picture_shape_of(columns: pd.DataFrame) -> tuple[int, int] | None:
    """A table whose columns are pixel0, pixel1, … (a square number of them) holds pictures."""
    pixels = [name for name in columns.columns if re.fullmatch(r"pixel_?\d+", name)]
    side = round(len(pixels) ** 0.5)
    return (side, side) if side >= 4 and side**2 == len(pixels) >= columns.shape[1] - 1 else None


def is_missing(value: Any) -> bool:
    """Whether a value of Python's own stands for nothing: None, NaN, an empty text."""
    return value is None or value == "" or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
