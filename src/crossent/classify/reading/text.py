"""Tables of text: CSV and its many kin, read by pandas once the layout is known."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crossent.errors import DataError

from ..numbers import MISSING_WORDS, number_of
from .encoding import decode
from .layout import Layout, find_layout, rows_of
from .opened import Opened, require_room
from .options import BLANKS, ReadingOptions
from .table import Table, named, one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_text"]

CELL = 20  # bytes that a cell takes; with the text and its copies it is four times that, as it is for the text's own
DECIMAL_COMMA = re.compile(r"[+\-−]?(?:\d+|\d{1,3}(?:[. ]\d{3})+),\d+")
DECIMAL_POINT = re.compile(r"[+\-−]?\d*\.\d+")
THOUSANDS = re.compile(r"[+\-−]?\d{1,3}(?:,\d{3})+")


def read_text(file: Opened, options: ReadingOptions) -> Table:
    """A table of text; a line of names before it or not; what separates its values is found, or told.

    Raises:
        DataError: empty, or rows of different lengths.
    """
    text, notes = decode(file, options.encoding)
    if not text.strip():
        raise DataError(f"{file.path} is empty; a header line and at least two rows are needed")
    layout = find_layout(text, options)
    if layout.columns == 0:
        raise DataError(f"{file.path} is not a table of text: no line of it can be read as a row")
    _refuse_missing_names(file, layout)
    _require_room(file, text, layout)
    read = _reader(file, _without_lines(text, layout.skipped), layout, options)
    columns = read(decimal=options.decimal or ".")
    decimal = options.decimal or _decimal_of(columns, layout)
    if decimal == "," and options.decimal is None:
        columns = read(decimal=",")
        notes.append("decimal comma: every number of the file has one (--decimal . reads them otherwise)")
    if decimal == ",":
        columns = columns.apply(_with_point)
    notes += [*layout.notes, *_short_rows(text, layout, columns)]
    names = layout.names or [f"column{place + 1}" for place in range(columns.shape[1])]
    return named(columns, names, file.path, lambda place: _cells(read, place), notes)


def _require_room(file: Opened, text: str, layout: Layout) -> None:
    """Refuse what would not fit: short cells take many times their length as a table."""
    separator = " " if len(layout.separator) > 1 else layout.separator
    require_room(file.path, len(file.data) + CELL * (text.count("\n") + text.count(separator)))


def _without_lines(text: str, count: int) -> str:
    """The text after its first lines, empty ones not counted."""
    start = 0
    while count:
        end = text.find("\n", start) + 1
        count -= bool(text[start:end].strip())
        start = end
    return text[start:]


def _reader(file: Opened, text: str, layout: Layout, options: ReadingOptions) -> Callable[..., pd.DataFrame]:
    """pandas' reader with all that is known; only empty cells and the words that were named are missing."""
    import pandas as pd

    quotes: dict[str, Any] = {"quotechar": layout.quote} if layout.quote else {"quoting": csv.QUOTE_NONE}
    kept = range(int(layout.row_names), layout.columns - int(layout.trailing))
    data = text.encode()  # a StringIO would take four bytes a character

    def read(place: int | None = None, **how: Any) -> pd.DataFrame:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # values that it would leave out
                columns = pd.read_csv(
                    io.BytesIO(data),
                    sep=layout.separator,
                    header=None if layout.names is None else 0,
                    names=list(range(layout.columns)),
                    usecols=None if place is None else [kept[place]],
                    index_col=False,
                    skipinitialspace=True,
                    keep_default_na=False,
                    na_values=["", *options.missing],
                    low_memory=False,
                    **quotes,
                    **how,
                )
        except Exception as error:  # of many kinds, by what the damaged text happens to look like
            raise DataError(f"{file.path} is not a table of text: {_explained(error, layout)}") from error
        return columns if place is not None else columns.iloc[:, kept.start : kept.stop]

    return read


def _explained(error: Exception, layout: Layout) -> str:
    """pandas' message in the user's words."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
    if found is None:
        return one_line(error)
    return _too_long(int(found[2]) + layout.skipped, int(found[3]), int(found[1]))


def _too_long(line: int, values: int, expected: int) -> str:
    """A row that has more values than the table has columns."""
    return (
        f"line {line} has {values} values where {expected} are expected; put quotes around values that hold a "
        "separator, or name the separator (--sep) or the quote (--quote)"
    )


def _refuse_missing_names(file: Opened, layout: Layout) -> None:
    """Most rows have more values than the first line has names."""
    unnamed = layout.columns - len(layout.names or []) - int(layout.row_names or layout.trailing)
    if layout.names is not None and unnamed > 0:
        raise DataError(
            f"{file.path}: the rows have more values than the header line has names ({layout.columns} and "
            f"{len(layout.names)}); if it names nothing, --no-header leaves it out"
        )


def _cells(read: Callable[..., pd.DataFrame], place: int) -> list[Any]:
    """The cells of one column as text; only an empty one is missing."""
    column = read(place, dtype=str).iloc[:, 0]
    return list(column.astype(object).where(column.notna(), None))


def _decimal_of(columns: pd.DataFrame, layout: Layout) -> str:
    """A comma, where every number that has a decimal point has that one, and commas do not separate."""
    import pandas as pd

    if layout.separator == ",":
        return "."
    commas: set[str] = set()
    for _, column in columns.items():
        if pd.api.types.is_float_dtype(column):
            known = column.dropna()
            if bool((known != known.round()).any()):
                return "."
        elif not pd.api.types.is_numeric_dtype(column):
            cells = set(map(str, column.dropna().unique()))
            if any(DECIMAL_POINT.fullmatch(cell) for cell in cells):
                return "."
            commas |= {cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)}
    sure = layout.separator == ";" or any(not THOUSANDS.fullmatch(cell) for cell in commas)
    return "," if commas and sure else "."


def _with_point(column: pd.Series) -> pd.Series:
    """A column of numbers with a decimal comma that pandas left as text, with a point; other columns as they are."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return column
    cells = {cell: number_of(str(cell), ",") for cell in column.dropna().unique()}
    known = column.dropna()
    words = sum(cells[cell] is None and str(cell).lower() not in MISSING_WORDS for cell in known)
    if words * 2 > len(known) or not any(value is not None for value in cells.values()):
        return column
    if any(value is None and DECIMAL_POINT.fullmatch(str(cell)) for cell, value in cells.items()):
        raise DataError(f"column {column.name!r} has numbers with a decimal comma and with a point; correct one kind")
    return column.map(lambda cell: cell if cells.get(cell) is None else repr(cells[cell]))


def _short_rows(text: str, layout: Layout, columns: pd.DataFrame) -> list[str]:
    """A sentence on rows that end before the last column, which pandas fills up without a word."""
    if layout.separator != BLANKS and not columns.iloc[:, -1].isna().any():
        return []
    expected = layout.columns
    begin = layout.skipped + (layout.names is not None)
    lengths = [len(row) for row in rows_of(text, layout.separator, layout.quote)][begin:]
    short = [index for index, length in enumerate(lengths) if length < expected]
    if not short:
        return []
    return [
        f"{len(short)} rows have fewer values than there are columns (first: row {short[0] + 1}); the rest of them is "
        "taken as missing"
    ]
