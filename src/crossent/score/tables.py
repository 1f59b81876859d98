"""Tables of scores and targets, CSV and Parquet, read in pieces."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError

from .stored import Stored

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PREDICTED", "open_table", "regrouped"]

Array = npt.NDArray[Any]

PREDICTED = "probability_"  # before each class's name, in what `crossent predict` writes
TARGET_NAMES = ("target", "label", "class", "y", "true")
PIECE = 1 << 14


def open_table(path: Path, name: str | None, wanted: str) -> Stored:
    """The numbers of a table's rows, or one column of it.

    Of scores all columns are taken; of what `crossent predict` writes, the classes' probabilities. Of targets the one
    column, or the one that is called target, label, class, y or true.
    """
    pieces = _parquet(path) if path.suffix in {".parquet", ".pq"} else _csv(path)
    with contextlib.closing(pieces()) as once:
        first = next(once, None)
    if first is None or first.empty:
        raise DataError(f"{path} holds no rows")
    columns = _chosen(path, list(first.columns), name, wanted)
    names = [column.removeprefix(PREDICTED) for column in columns]

    def rows() -> Iterator[Array]:
        with contextlib.closing(pieces()) as all_pieces:
            for piece in _unharmed(path, all_pieces):
                yield _numbers(path, piece[columns], text=wanted == "targets")

    def blocks(size: int) -> Iterator[Array]:
        return regrouped(rows(), size)

    width = 0 if len(columns) == 1 else len(columns)
    return Stored(path, _rows_of(path), width, "numbers", blocks, names if _are_names(names) else [], ())


def _unharmed(path: Path, pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The pieces; where the file is damaged further down, an error that names it."""
    try:
        yield from pieces
    except DataError:
        raise
    except Exception as error:  # pandas', pyarrow's and the unpackers' have no base of their own
        raise DataError(f"{path} is damaged: {str(error).strip().splitlines()[0]}") from error


def _chosen(path: Path, columns: list[str], name: str | None, wanted: str) -> list[str]:
    """Which columns are meant."""
    if name is not None:
        if name not in columns:
            raise DataError(f"{path} has no column {name!r}; it has {', '.join(columns[:10])}")
        return [name]
    if wanted != "targets":
        predicted = [column for column in columns if column.startswith(PREDICTED)]
        return predicted or columns
    lower = {column.lower(): column for column in columns}
    found = [lower[one] for one in TARGET_NAMES if one in lower]
    if len(columns) > 1 and not found:
        raise DataError(f"{path} has {len(columns)} columns; name the targets': {path}:{columns[-1]}")
    return found[:1] or columns


def _are_names(names: list[str]) -> bool:
    """Whether columns are called by classes and not by their places."""
    return not all(str(name).removeprefix("column").isdigit() for name in names)


def _csv(path: Path) -> Callable[[], Generator[pd.DataFrame, None, None]]:
    """Pieces of a table of text, packed or not."""
    import pandas as pd

    separator = "\t" if ".tsv" in path.suffixes else ","
    how: dict[str, Any] = {"sep": separator, "keep_default_na": False, "na_values": ["", "nan", "NaN"]}
    first = pd.read_csv(path, header=None, nrows=1, dtype=str, **how).iloc[0].fillna("")
    header = not all(_is_number(cell) for cell in first)

    def pieces() -> Generator[pd.DataFrame, None, None]:
        with pd.read_csv(path, header=0 if header else None, chunksize=PIECE, low_memory=False, **how) as reader:
            for piece in reader:
                yield piece.set_axis([str(column) for column in piece.columns], axis=1)

    return pieces


def _parquet(path: Path) -> Callable[[], Generator[pd.DataFrame, None, None]]:
    """Pieces of a Parquet file."""
    from pyarrow.parquet import ParquetFile

    def pieces() -> Generator[pd.DataFrame, None, None]:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(PIECE):
                yield batch.to_pandas()

    return pieces


def _rows_of(path: Path) -> int | None:
    """How many rows a Parquet file has; text only tells when it is read."""
    if path.suffix not in {".parquet", ".pq"}:
        return None
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _numbers(path: Path, piece: pd.DataFrame, text: bool) -> Array:
    """A piece as an array; lists in a column are rows; words are labels where `text` allows them."""
    if piece.shape[1] == 1:
        column = piece.iloc[:, 0]
        if column.dtype == object and isinstance(column.iloc[0], np.ndarray | list):
            return np.stack([np.asarray(row) for row in column])
        values = column.to_numpy()
        if values.dtype.kind in "fiub":
            return np.asarray(values)
        if text:
            return np.array([str(value).strip() for value in values], dtype=object)
    else:
        values = piece.to_numpy()
    if values.dtype.kind not in "fiub":
        wrong = next(name for name in piece if piece[name].dtype.kind not in "fiub")
        raise DataError(f"{path}: column {wrong!r} holds {str(piece[wrong].iloc[0])[:40]!r}; scores are numbers")
    return np.asarray(values)


def _is_number(cell: Any) -> bool:
    """Whether a cell of the first line is a value and no name."""
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def regrouped(pieces: Iterator[Array], size: int) -> Iterator[Array]:
    """The same rows in blocks of a size."""
    left: list[Array] = []
    for piece in itertools.chain(pieces, [None]):
        if piece is not None:
            left.append(piece)
        while left and (piece is None or sum(map(len, left)) >= size):
            whole = left[0] if len(left) == 1 else np.concatenate(left)
            if not len(whole):
                return
            yield whole[:size]
            left = [whole[size:]] if len(whole) > size else []
