"""Numbers as people write them: 1,014 and $12.50, 3.1 % and −5, 1 014 and 1.014,50."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["MISSING_WORDS", "number_of", "oddities"]

MISSING_WORDS = frozenset(  # what stands for a missing number by custom; lower case
    (*("", "?", ".", "-", "--"), *("na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "null", "none", "nil", "nat"))
)
BLANK = " \u00a0\u2007\u2009\u202f"  # the plain one, and those that keep a number on one line
MINUS = "−–‒﹣－"  # U+2212 and its like
CURRENCIES = r"[$€£¥₹₩₽₺₴₫฿]|[A-Z]{1,3}\$|USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|CAD|AUD|元"
POINT = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d{1,3}(?:[ ']\d{3})+|\d+)(?:\.\d*)?|\.\d+"
COMMA = r"(?:\d{1,3}(?:\.\d{3})+|\d{1,3}(?:[ ']\d{3})+|\d+)(?:,\d*)?|,\d+"
FORMS = {
    decimal: re.compile(
        rf"(?P<open>\()?(?P<sign>[+-]?) ?(?P<money>{CURRENCIES})? ?(?P<inner>[+-]?)"
        rf"(?P<digits>{digits})(?P<power>[eE][+-]?\d+)? ?(?P<unit>%|‰|{CURRENCIES})?(?P<close>\))?"
    )
    for decimal, digits in ((".", POINT), (",", COMMA))
}
CONSTANTS = {"true": 1.0, "false": 0.0, "inf": float("inf"), "-inf": float("-inf"), "infinity": float("inf")}
TRANSLATION = str.maketrans({**dict.fromkeys(BLANK, " "), **dict.fromkeys(MINUS, "-"), "’": "'"})


def number_of(text: str, decimal: str = ".") -> float | None:
    """The number that a cell shows, None where it shows none.

    Args:
        text: with or without separators between thousands, a currency, a percent sign, brackets for a negative.
        decimal: the decimal point: "." or ",".

    Example:
        >>> [number_of(cell) for cell in ("1,014", "$12.50", "3.1%", "−5", "(2.5)", "1 014", "1,5", "n/a")]
        [1014.0, 12.5, 3.1, -5.0, -2.5, 1014.0, None, None]
        >>> number_of("1.014,50", decimal=",")
        1014.5
    """
    plain = text.translate(TRANSLATION).strip()
    if plain.lower() in CONSTANTS:
        return CONSTANTS[plain.lower()]
    found = FORMS[decimal].fullmatch(plain)
    if found is None or bool(found["open"]) != bool(found["close"]) or (found["sign"] and found["inner"]):
        return None
    thousands = "," if decimal == "." else "."
    digits = found["digits"].replace(" ", "").replace("'", "").replace(thousands, "").replace(decimal, ".")
    value = float(digits + (found["power"] or ""))
    return -value if "-" in (found["sign"], found["inner"]) or found["open"] else value


def oddities(cells: Iterable[str], decimal: str = ".") -> list[str]:
    """What had to be understood in cells that show numbers, each with an example: thousands, currencies, …"""
    found: dict[str, str] = {}
    for cell in cells:
        plain = cell.translate(TRANSLATION).strip()
        match = FORMS[decimal].fullmatch(plain)
        if match is None:
            continue
        digits, thousands = match["digits"], "," if decimal == "." else "."
        marks = {
            "separators between thousands": thousands in digits or " " in digits or "'" in digits,
            "currencies": bool(match["money"]) or (match["unit"] or "%") not in {"%", "‰"},
            "percent signs": match["unit"] in {"%", "‰"},
            "brackets for negative numbers": bool(match["open"]),
            "minus signs other than -": any(mark in cell for mark in MINUS),
            "blanks that do not break": any(mark in cell.strip(" ") for mark in BLANK[1:]),
        }
        for name, there in marks.items():
            if there:
                found.setdefault(name, cell)
    return [f"{name} ({cell!r})" for name, cell in found.items()]
