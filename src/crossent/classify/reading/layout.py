"""How a text is laid out: separator, quote, where the table begins, and whether its first line names the columns."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .header import has_header
from .options import BLANKS, ReadingOptions

__all__ = ["Layout", "find_layout", "rows_of"]

SEPARATORS = (",", ";", "\t", "|", BLANKS)
QUOTES = ('"', "'", "")
SAMPLE_CHARACTERS, SAMPLE_ROWS, MOST_PREAMBLE = 1 << 20, 2000, 30
NO_NAMES = "no line of names found: the columns are called column1, column2, … (--header takes the first line)"
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", BLANKS: "blanks"}


@dataclass(frozen=True)
class Layout:
    """What a reader needs to know.

    `names` are the columns' names in the first line, None where it has none. `skipped` lines come before the table;
    `row_names` says that each row begins with a name that the first line does not name; `trailing` that each row ends
    with a separator.
    """

    separator: str
    quote: str
    skipped: int
    names: list[str] | None
    columns: int
    row_names: bool = False
    trailing: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Trial:
    """The rows of a sample under one separator and quote, how many columns most have, and how well that fits.

    `fit` is 3 where every row has these columns, 2 where the first has one fewer (R's names of rows), 1 where other
    lines come before, and else the share of the rows that has.
    """

    separator: str
    quote: str
    rows: list[list[str]]
    columns: int
    fit: float


def find_layout(text: str, options: ReadingOptions) -> Layout:
    """Find how a text is laid out: the separator is the one that gives every row the same number of columns.

    Where no row can be read there are 0 columns.
    """
    told = re.match(r"sep=(.)\r?\n", text[:10], re.IGNORECASE)
    separators: Sequence[str] = SEPARATORS
    if options.separator or told:
        separators = [options.separator or (told[1] if told else "")]
    quotes = QUOTES if options.quote is None else (options.quote,)
    sample = text[: text.rfind("\n", 0, SAMPLE_CHARACTERS) + 1] if len(text) > SAMPLE_CHARACTERS else text
    best = _best([_try(sample, separator, quote, bool(told)) for quote in quotes for separator in separators])
    if not best.rows:
        return Layout(best.separator, best.quote, 0, None, 0)
    notes = [] if len(separators) == 1 or best.separator == "," else [f"separator: {NAMES[best.separator]}"]
    if options.quote is None and best.quote != '"':
        notes.append(f"quotes: {best.quote}" if best.quote else "quotes: none (a quotation mark is part of the text)")
    return _with_header(best, int(bool(told)), options, notes)


def rows_of(text: str, separator: str, quote: str) -> itertools.chain[list[str]]:
    """Rows of text under a separator and a quote, as Python's csv reads them; empty lines left out."""
    lines = io.StringIO(text, newline="")
    quoting = {"quoting": csv.QUOTE_NONE} if not quote else {"quotechar": quote}
    if separator == BLANKS:
        stripped = (" ".join(line.split("\t")).strip() + "\n" for line in lines)
        reader = csv.reader(stripped, delimiter=" ", skipinitialspace=True, strict=False, **quoting)
    else:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", **quoting)
    return itertools.chain.from_iterable([row] for row in reader if any(map(str.strip, row)) or len(row) > 1)


def _try(sample: str, separator: str, quote: str, told: bool) -> _Trial:
    """The sample's rows under one separator and quote."""
    try:
        rows = list(itertools.islice(rows_of(sample, separator, quote), int(told), SAMPLE_ROWS))
    except csv.Error:  # a field without end
        return _Trial(separator, quote, [], 0, 0.0)
    counts = Counter(map(len, rows))
    columns = max(counts, key=lambda count: (counts[count], count), default=0)
    if len(rows) == 2 and len(counts) == 2:
        columns = len(rows[1])
    return _Trial(separator, quote, rows, columns, _fit(rows, columns))


def _fit(rows: list[list[str]], columns: int) -> float:
    """How well rows fit a table of so many columns, as `_Trial` says it."""
    begin = _preamble(rows, columns)
    fits = [len(row) == columns for row in rows[begin:]]
    nameless = len(rows) > begin and len(rows[begin]) == columns - 1
    if not all(fits[int(nameless) :]):
        return sum(fits) / len(fits)
    return 1.0 if begin else 2.0 if nameless else 3.0


def _best(trials: list[_Trial]) -> _Trial:
    """The separator and quote that give each row the same columns, two at least; else the most even ones."""
    apart = [trial for trial in trials if trial.columns > 1]
    if not apart:
        return next((trial for trial in trials if trial.rows), trials[0])
    if any(trial.separator != BLANKS and trial.fit > 0.9 for trial in apart):
        apart = [trial for trial in apart if trial.separator != BLANKS]  # words have blanks between them too
    best = max(trial.fit for trial in apart)
    found = [trial for trial in apart if trial.fit == best]
    found.sort(key=_shows_quotes)  # names that keep their quotes were read with another one than theirs
    found = [trial for trial in found if trial.quote == found[0].quote]
    plain = [trial for trial in found if trial.separator != BLANKS] or found
    return max(plain, key=lambda trial: trial.columns)


def _shows_quotes(trial: _Trial) -> bool:
    """Whether every name is still in quotes."""
    names = trial.rows[_preamble(trial.rows, trial.columns)]
    return all(len(name) > 1 and name[0] == name[-1] and name[0] in QUOTES[:2] for name in names)


def _preamble(rows: list[list[str]], columns: int, any_lines: bool = False) -> int:
    """How many rows come before the first that has a table's columns (or one fewer, right before the table).

    Rows of several values are only taken for such lines where names follow, or where `any_lines` says so.
    """
    first = next((index for index, row in enumerate(rows) if len(row) == columns), 0)
    names = rows[first - 1] if first else []
    begin = first - 1 if first and len(names) == columns - 1 and len(names) > 1 else first
    if any_lines:
        return first
    title = all(len(row) == 1 for row in rows[:begin]) or has_header(rows[begin:])
    return begin if begin <= MOST_PREAMBLE and title else 0


def _with_header(trial: _Trial, told: int, options: ReadingOptions, notes: list[str]) -> Layout:
    """The layout with what its first rows are."""
    begin = _preamble(trial.rows, trial.columns)
    nameless = options.header is None and len(trial.rows[begin]) < trial.columns - 1 and not has_header(trial.rows)
    if options.header is False or nameless:
        begin = _preamble(trial.rows, trial.columns, any_lines=True)
    rows = trial.rows[begin:]
    if begin:
        notes.append(f"the first {begin} lines are not part of the table and left out")
    row_names = trailing = False
    if options.header is not False and len(rows) > 1 and len(rows[0]) == trial.columns - 1 and trial.columns > 2:
        trailing = all(not row[-1] for row in rows[1:] if len(row) == trial.columns)
        first = [row[0] for row in rows[1:]]
        row_names = not trailing and len(set(first)) == len(first)
    header = options.header
    if header is None:
        header = row_names or trailing or has_header(rows)
        if not header and rows:
            notes.append(
                "no line of names found: the columns are called column1, column2, … (--header takes the first)"
            )
    names = [name.strip() for name in rows[0]] if header and rows else None
    if row_names:
        notes.append("the first value of each row is its name and left out")
    return Layout(trial.separator, trial.quote, begin + told, names, trial.columns, row_names, trailing, notes)
