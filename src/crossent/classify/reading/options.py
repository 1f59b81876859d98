"""How a table is to be read, where the file itself does not say it."""

from __future__ import annotations

from dataclasses import dataclass

from crossent.errors import OptionError

__all__ = ["AS_FOUND", "BLANKS", "ReadingOptions"]

BLANKS = r"\s+"  # one or more blanks or tabs, as pandas writes it
NAMES = {"tab": "\t", r"\t": "\t", "blank": BLANKS, " ": BLANKS, r"\s+": BLANKS, "comma": ",", "semicolon": ";"}


@dataclass(frozen=True)
class ReadingOptions:
    r"""What the user knows of a file; None leaves it to be found.

    Args:
        separator: between the values of a line of text: one character, or `BLANKS`.
        quote: the character around values that hold a separator, "" for none.
        missing: words that stand for a missing value, in every column.
        decimal: "." or ",".
        header: whether the first line names the columns.
        encoding: of the text, by Python's name.
        text: columns that are words, even where they look like numbers.
        drop: columns to leave out.

    Raises:
        OptionError: a separator of more than one character, a decimal point that is none, an unknown encoding.

    Example:
        >>> ReadingOptions.of(separator="tab").separator
        '\t'
    """

    separator: str | None = None
    quote: str | None = None
    missing: tuple[str, ...] = ()
    decimal: str | None = None
    header: bool | None = None
    encoding: str | None = None
    text: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    @classmethod
    def of(cls, separator: str | None = None, **given: object) -> ReadingOptions:
        """The options, checked; lists become tuples, "tab" and "blank" what they mean."""
        separator = NAMES.get(separator, separator) if separator is not None else None
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        options = cls(separator=separator, **values)  # type: ignore[arg-type]
        options._check()
        return options

    def _check(self) -> None:
        """Say what an option may be."""
        if self.separator is not None and self.separator != BLANKS and len(self.separator) != 1:
            raise OptionError(
                f"--sep is {self.separator!r}; it is one character, or tab, or blank (any number of blanks)"
            )
        if self.quote is not None and len(self.quote) > 1:
            raise OptionError(f"--quote is {self.quote!r}; it is one character, or '' for none")
        if self.decimal not in {None, ".", ","}:
            raise OptionError(f"--decimal is {self.decimal!r}; it is . or ,")
        if self.decimal == "," and self.separator == ",":
            raise OptionError("--decimal , and --sep , contradict each other where values are not quoted; choose one")
        try:
            b"a".decode(self.encoding or "utf-8", "replace")
        except UnicodeError:
            pass  # one of text, which these bytes are not in
        except (LookupError, ValueError):
            raise OptionError(
                f"--encoding {self.encoding!r} is not known to Python; utf-8, utf-16, cp1252, gb18030, … are"
            ) from None


AS_FOUND = ReadingOptions()
