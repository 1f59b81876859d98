"""Bytes to text: by the byte order mark, as UTF-8, or as a detector says."""

from __future__ import annotations

import codecs
import itertools

from crossent.errors import DataError, MissingDependencyError

from .opened import Opened

__all__ = ["decode"]

MARKS = (  # the longer ones first: UTF-32's begins as UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
COMMON = ["gb2312", "cp1252"]  # asked first: in short texts the detector finds rarer ones as likely
WIDER = {"gb2312": "gb18030"}  # what a file is read as: the common characters stand for their whole family
SAMPLE = 1 << 16


def decode(file: Opened, encoding: str | None) -> tuple[str, list[str]]:
    """Text, and a sentence where its encoding was guessed.

    Raises:
        DataError: the text is not in the encoding that was given or found.
    """
    mark = next((name for mark, name in MARKS if file.data.startswith(mark)), None)
    wide = None if encoding or mark else _utf_without_mark(file.data)
    found = encoding or mark or wide or ("utf-8" if _is_utf_8(file.data) else None)
    notes = []
    if found is None:
        found = _detect(file)
        notes = [f"encoding: {found}, guessed, since the text is not UTF-8 (--encoding chooses another)"]
    elif wide:
        zeros = "every other byte is" if wide.startswith("utf-16") else "three of four bytes are"
        notes = [f"encoding: {wide.upper()}, guessed, since {zeros} 0 (--encoding chooses another)"]
    elif mark is not None and encoding is None and mark != "utf-8-sig":
        notes = [f"encoding: {found.upper()}, by its byte order mark"]
    try:
        return file.data.decode(found).removeprefix("\ufeff"), notes
    except UnicodeError as error:
        where = getattr(error, "start", 0)
        line = file.data[:where].count(b"\n") + 1
        raise DataError(
            f"{file.path} is not text in {found}: line {line} holds the bytes {file.data[where : where + 4]!r}; "
            "--encoding names the right one"
        ) from error


def _utf_without_mark(data: bytes) -> str | None:
    """UTF-16 or UTF-32 of mostly Latin text: every other byte is 0, or three of four."""
    sample = data[:SAMPLE]
    zeros = [sample[place::4].count(0) * 4 / max(len(sample), 1) for place in range(4)]
    if min(zeros) > 0.1:
        return None  # zeros everywhere are no text
    if min(zeros[1:]) > 0.9:
        return "utf-32-le"
    if min(zeros[:3]) > 0.9:
        return "utf-32-be"
    first, second = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    if max(first, second) < 0.5 or min(first, second) * 10 > max(first, second):
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def _is_utf_8(data: bytes) -> bool:
    """Whether bytes are UTF-8 throughout."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _detect(file: Opened) -> str:
    """The encoding that charset-normalizer finds in the lines that are not ASCII."""
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise MissingDependencyError(
            f"{file.path} is not UTF-8; --encoding names its encoding, or charset-normalizer finds it: install the "
            "extra crossent[train]"
        ) from error
    lines = (line for line in file.data.splitlines(keepends=True) if not line.isascii())
    sample = b"".join(itertools.islice(lines, 2000))[:SAMPLE]
    sample = file.data[:SAMPLE] if b"\0" in sample else sample[: sample.rfind(b"\n") + 1] or sample
    best = from_bytes(sample, cp_isolation=COMMON).best() or from_bytes(sample).best()
    if best is None:
        raise DataError(f"{file.path} is text in no encoding that could be found; --encoding names it")
    return WIDER.get(best.encoding, best.encoding)
