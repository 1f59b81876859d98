"""What a column holds: it is what most of it is, and what does not fit is said."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossent.errors import DataError

from .numbers import MISSING_WORDS, number_of, oddities

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "as_dates", "as_numbers", "as_text", "counted", "number_columns", "part_of", "understand"]

FEWEST_WORDS = 4  # a text of as many words a row, most rows with a text of their own, is prose
ASKED_FROM = 0.1  # fewer numbers than this among words are words too
DATE_PARTS = ("year", "month", "weekday", "days")


@dataclass(frozen=True)
class Column:
    """What a column is: numbers, text, prose, dates (with their format), or the reason why it is of no use.

    `notes` say what was understood. `usable` is False where `kind` is a reason.
    """

    kind: str
    notes: tuple[str, ...] = ()
    usable: bool = True


def understand(column: pd.Series, text: bool = False) -> Column:
    """Find what a column holds.

    Args:
        column: of numbers, dates or text as pandas has read them.
        text: that it is known to hold words.

    Raises:
        DataError: numbers, more than half of them words, or with a decimal comma: only the user knows what it is.
    """
    import pandas as pd

    plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub" and not text
    known = column if plain and column.notna().any() else column.dropna()  # no copy of many thousand columns
    if known.empty:
        return Column("it has no values", usable=False)
    if not text and pd.api.types.is_datetime64_any_dtype(column):
        return Column("dates")
    if pd.api.types.is_timedelta64_dtype(column):
        return Column("it holds spans of time (turn them into numbers to use them)", usable=False)
    if not text and (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        return Column("numbers")
    if known.map(lambda value: isinstance(value, list | dict | tuple | set | np.ndarray)).any():
        return Column("it holds lists or records", usable=False)
    cells = Counter(as_text(known))
    cells.pop("", None)
    return _of_text(str(column.name), cells) if not text else Column("text")


def _of_text(name: str, cells: Counter[str]) -> Column:
    """What a column of text holds: cells with how often each occurs."""
    numbers = {cell: number_of(cell) for cell in cells}
    words = Counter({cell: count for cell, count in cells.items() if numbers[cell] is None})
    if len(words) < len(cells):
        found = _numbers_among(name, cells, words)
        if found is not None:
            return found
    _refuse_decimal_comma(name, words)
    date = _date_format(cells)
    if date is not None:
        return _dates(name, cells, date)
    rows = sum(cells.values())
    if len(cells) > max(20, 0.5 * rows):
        lengths = np.repeat([len(cell.split()) for cell in cells], list(cells.values()))
        if np.median(lengths) >= FEWEST_WORDS:
            return Column("prose", (f"column {name!r} holds prose: its words count, weighed by TF-IDF",))
    if len(cells) > max(20, 0.9 * rows):
        return Column("nearly every row has a text of its own", usable=False)
    return Column("text", _numbers_as_words(name, cells, words))


def _numbers_among(name: str, cells: Counter[str], words: Counter[str]) -> Column | None:
    """Numbers, where at least half of what is no missing value is; None where the column holds words."""
    by_custom = Counter({cell: count for cell, count in words.items() if cell.lower() in MISSING_WORDS})
    rows, other = cells.total() - by_custom.total(), words.total() - by_custom.total()
    if other * 2 <= rows:
        notes = []
        if words:
            notes.append(
                f"column {name!r} holds numbers; {counted(words)} are taken as missing (--text {name!r} keeps words)"
            )
        odd = oddities(cell for cell in cells if cell not in words)
        notes += [f"column {name!r}: {', '.join(odd)} read as numbers"] if odd else []
        return Column("numbers", tuple(notes))
    if rows - other >= ASKED_FROM * rows and len(cells) - len(words) > len(words):
        share = other / rows
        raise DataError(
            f"column {name!r} holds numbers, but {share:.0%} of its values are words: {counted(words)}; if they stand "
            f"for missing values, say --na {words.most_common(1)[0][0]!r}; if all of it is words, --text {name!r}"
        )
    return None


def _refuse_decimal_comma(name: str, words: Counter[str]) -> None:
    """Most words are numbers with a decimal comma."""
    commas = [cell for cell in words if number_of(cell, ",") is not None]
    if sum(words[cell] for cell in commas) * 2 > words.total():
        raise DataError(
            f"column {name!r} has a decimal comma ({commas[0]!r}); say --decimal , if that is what it is, or "
            f"--text {name!r} if these are words"
        )


def _numbers_as_words(name: str, cells: Counter[str], words: Counter[str]) -> tuple[str, ...]:
    """A sentence where a column of words has numbers among them."""
    numbers = Counter({cell: count for cell, count in cells.items() if cell not in words})
    if not numbers:
        return ()
    return (f"column {name!r} holds words; {counted(numbers)} among them are words too",)


def counted(cells: Counter[str], most: int = 3) -> str:
    """Cells with how often each occurs, the most frequent first."""
    shown = ", ".join(f"{cell!r} ({count}×)" for cell, count in cells.most_common(most))
    return shown + (f" and {len(cells) - most} more" if len(cells) > most else "")


def _date_format(cells: Counter[str]) -> str | None:
    """The format that most cells have as dates; None where there is none."""
    first = next((cell for cell in cells if any(map(str.isdigit, cell)) and len(cell) >= 6), None)
    if first is None or sum(any(map(str.isdigit, cell)) for cell in cells) * 2 <= len(cells):
        return None
    formats = {_guess(cell, day_first) for cell in list(cells)[:20] for day_first in (False, True)} - {None}
    shares = {found: sum(cells[cell] for cell in _parsed(cells, found)) for found in sorted(map(str, formats))}
    if not shares:
        return None
    best = max(shares, key=lambda found: (shares[found], found.startswith(("%Y", "%m"))))
    return best if shares[best] * 2 > cells.total() else None


def _guess(cell: str, day_first: bool) -> str | None:
    """The format of one date, as pandas guesses it."""
    from pandas.tseries.api import guess_datetime_format

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the day comes first, or does not
        found: str | None = guess_datetime_format(cell, dayfirst=day_first)
    return found if (found and "%Y" in found) or (found and "%y" in found) else None


def _parsed(cells: Sequence[str] | Counter[str], date_format: str) -> list[str]:
    """The cells that are dates in a format."""
    import pandas as pd

    names = list(cells)
    there = pd.to_datetime(pd.Series(names, dtype=object), format=date_format, errors="coerce", utc=True).notna()
    return [cell for cell, date in zip(names, there, strict=True) if date]


def _dates(name: str, cells: Counter[str], date_format: str) -> Column:
    """Dates, with a sentence on their form and on what is none."""
    shown = next(iter(_parsed(cells, date_format)))
    words = cells.copy()
    for cell in _parsed(cells, date_format):
        words.pop(cell)
    notes = [
        f"column {name!r} holds dates ({shown!r} read as {_in_words(date_format)}): year, month, weekday and days "
        "since the first count"
    ]
    if words:
        notes.append(f"column {name!r}: {counted(words)} are no dates and taken as missing")
    return Column(f"dates {date_format}", tuple(notes))


def _in_words(date_format: str) -> str:
    """A date's format in words."""
    names = {"%Y": "year", "%y": "year", "%m": "month", "%d": "day", "%b": "month", "%B": "month"}
    order = [names[date_format[at : at + 2]] for at in range(len(date_format)) if date_format[at : at + 2] in names]
    return ", ".join(order)


def as_numbers(column: pd.Series) -> pd.Series:
    """A column as float64, with NaN for what is missing and for words, up to half of them.

    Raises:
        DataError: more than half is words; infinity.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        numbers = column.astype("float64")
    else:
        text = as_text(column)
        values = {cell: number_of(cell) for cell in text.dropna().unique()}
        numbers = text.map(values.get).astype("float64")
        _refuse_words(column, text, numbers)
    if np.isinf(numbers).any():
        row = column.index[int(np.argmax(np.isinf(numbers)))] + 1
        raise DataError(f"column {column.name!r} holds infinity (row {row}); leave it empty where a value is missing")
    return numbers


def number_columns(features: pd.DataFrame) -> dict[str, Any]:
    """Columns of numbers by name, as `as_numbers` gives each; those that are numbers already go together.

    A call a column would take minutes for a table of many thousand.
    """
    plain = [name for name, kind in features.dtypes.items() if isinstance(kind, np.dtype) and kind.kind in "fiub"]
    block = features[plain].to_numpy("float64")
    together = dict(zip(plain, block.T, strict=True))
    for place in np.flatnonzero(np.isinf(block).any(axis=0))[:1]:
        as_numbers(features[plain[place]])  # says which row
    return {name: together[name] if name in together else as_numbers(features[name]) for name in features.columns}


def _refuse_words(column: pd.Series, text: pd.Series, numbers: pd.Series) -> None:
    """More words than numbers, where numbers are expected."""
    by_custom = text.map(lambda cell: str(cell).lower() in MISSING_WORDS)
    words = text[numbers.isna() & text.notna() & ~by_custom]
    if len(words) * 2 > len(words) + int(numbers.notna().sum()):
        row = words.index[0] + 1
        raise DataError(f"column {column.name!r} holds {words.iloc[0]!r} (row {row}) where a number is expected")


def as_text(column: pd.Series) -> pd.Series:
    """A column as text without blanks around it, with NaN for what is missing."""
    there = column.notna()
    cells = {value: _text_of(value) for value in column[there].unique()} if _hashable(column) else None
    values = [
        (cells[value] if cells is not None else _text_of(value)) if known else np.nan
        for value, known in zip(column, there, strict=True)
    ]
    return column.__class__(values, index=column.index, name=column.name, dtype=object)


def _hashable(column: pd.Series) -> bool:
    """Whether each text needs to be made once only: 1 and True and 1.0 are one key, so mixed types are not."""
    return bool(column.dtype != object)


def _text_of(value: Any) -> str:
    """A value as text; 3.0 as "3", since a column with gaps turns whole numbers into floats."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return re.sub(r"[ \t\r\n]+", " ", str(value)).strip()  # other blanks are part of the text


def as_dates(column: pd.Series, date_format: str) -> pd.DataFrame:
    """Year, month, weekday and days since 1970 (after scaling: since any day) of a column of dates, and the hour.

    Args:
        column: of dates, or of text.
        date_format: of the text, "" for ISO's.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        dates = pd.to_datetime(column, utc=True)
    else:
        dates = pd.to_datetime(as_text(column), format=date_format or "ISO8601", errors="coerce", utc=True)
    parts = {
        "year": dates.dt.year,
        "month": dates.dt.month,
        "weekday": dates.dt.day_of_week,
        "days": (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1),
    }
    return pd.DataFrame({part_of(str(column.name), part): values.astype("float64") for part, values in parts.items()})


def part_of(name: str, part: str) -> str:
    """The name of what a date is made into: no file's column has such a one."""
    return f"{name}\x1f{part}"
