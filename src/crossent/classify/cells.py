"""Tables for spreadsheets: a cell that begins like a formula is text, and stays text when the CSV is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_csv", "safe_cell"]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_cell(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would compute; a number stays a number.

    >>> safe_cell("=1+1"), safe_cell("-1.5"), safe_cell("rose")
    ("'=1+1", '-1.5', 'rose')

    Source: OWASP, CSV injection.
    """
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def as_csv(table: pd.DataFrame, safe: bool) -> str:
    """The table as CSV, nine digits a number; `safe` for spreadsheets."""
    if safe:
        table = table.rename(columns=safe_cell)
        texts = [name for name, dtype in table.dtypes.items() if dtype.kind == "O"]
        table = table.assign(**{name: table[name].map(safe_cell) for name in texts})
    return str(table.to_csv(index=False, float_format="%.9g"))
