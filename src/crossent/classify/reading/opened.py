"""A file's bytes, unpacked where it is compressed, and what kind of file they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from crossent._system import files
from crossent.errors import DataError

__all__ = ["Opened", "open_file", "require_cells", "require_room"]

KINDS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv", ".txt", ".data", ".dat", ".test"), "text"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".arrow", ".feather", ".ftr"), "arrow"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".xlsx", ".xlsm"), "excel"),
    ".arff": "arff",
    ".npz": "npz",
}
MAGIC = ((b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"FEA1", "arrow"))
PACKED = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"PK\x03\x04", "zip"))
PIECE = 1 << 24  # read at a time
CELL = 64  # bytes that a cell takes as an object of Python's
UNPACK: dict[str, Callable[[IO[bytes]], Any]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}
ENDINGS = {".gz", ".xz", ".bz2", ".zip"}
DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)


class Opened:
    """A file's content: `path` for messages, `name` without compression, `data`, and the `kind` of file."""

    def __init__(self, path: Path, name: str, data: bytes) -> None:
        self.path, self.name, self.data = path, name, data
        self.kind = _kind_of(path, name, data)

    def stream(self) -> io.BytesIO:
        """The bytes as a file."""
        return io.BytesIO(self.data)


def open_file(path: Path) -> Opened:
    """Read a file, unpacked where it is gzip, xz, bzip2 or a zip of one file.

    Raises:
        DataError: damaged; a zip of several files; a format that is not known.
    """
    data, name = read_bytes(path), path.name
    packing = next((packing for magic, packing in PACKED if data.startswith(magic)), None)
    ending = PurePosixPath(name).suffix.lower()
    if packing is None or (packing == "zip" and KINDS.get(ending) in {"excel", "npz"}):
        if ending in ENDINGS:
            raise DataError(f"{path} is not a {ending} file: its first bytes are {data[:4]!r}")
        return Opened(path, name, data)
    inner = name[: -len(ending)] if ending in ENDINGS else name
    try:
        if packing == "zip":
            return Opened(path, *_only_member(path, data))
        return Opened(path, inner, unpacked(path, packing, data))
    except DAMAGE as error:
        raise DataError(f"{path} is a damaged {packing} file: {error}") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file that fits into the memory; a device or a pipe may never end.

    Raises:
        DataError: it is too large. OSError: it is no regular file, or cannot be read.
    """
    files.regular_file(path)
    with path.open("rb") as file:
        return read_bounded(path, file)


def unpacked(path: Path, packing: str, data: bytes) -> bytes:
    """The content of packed bytes, which may be a thousand times as many."""
    with UNPACK[packing](io.BytesIO(data)) as file:
        return read_bounded(path, file)


def read_bounded(path: Path, file: IO[bytes]) -> bytes:
    """Read to the end, or to where the machine's memory would not hold what is made of it.

    Raises:
        DataError: there is more.
    """
    pieces: list[bytes] = []
    size = 0
    while piece := file.read(PIECE):
        pieces.append(piece)
        size += len(piece)
        require_room(path, size)
    return b"".join(pieces)


def require_room(path: Path, size: int) -> None:
    """Raise a DataError for more bytes than the machine's memory has room for as a table."""
    if size > most_bytes():
        raise DataError(
            f"{path} holds more than {most_bytes() / 2**30:.1f} GiB, a quarter of this machine's memory; give a part "
            "of it"
        )


def require_cells(path: Path, rows: int, columns: int, each: int = CELL) -> None:
    """Raise a DataError for a table that the memory has no room for, however few bytes the file has."""
    require_room(path, rows * columns * each)


def most_bytes() -> int:
    """A quarter of the machine's memory: a table takes more room than its file."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):
        return 1 << 32


def _only_member(path: Path, data: bytes) -> tuple[str, bytes]:
    """The name and content of a zip's one file; what an operating system adds is not counted."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [
            info.filename
            for info in archive.infolist()
            if not info.is_dir()
            and not info.filename.startswith("__MACOSX/")
            and not info.filename.endswith(".DS_Store")
        ]
        if len(members) != 1:
            shown = ", ".join(members[:5]) + (", …" if len(members) > 5 else "")
            raise DataError(f"{path} holds {len(members)} files ({shown or 'none'}); unpack it and give one of them")
        with archive.open(members[0]) as member:
            return PurePosixPath(members[0]).name, read_bounded(path, member)


def _kind_of(path: Path, name: str, data: bytes) -> str:
    """What kind of file it is: by its name's ending, else by its first bytes; else text."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in KINDS:
        return KINDS[ending]
    if ending == ".xls":
        raise DataError(f"{path}: Excel's format before 2007 is not read; save it as .xlsx or .csv")
    by_content = next((kind for magic, kind in MAGIC if data.startswith(magic)), None)
    if by_content is None and (ending or b"\0" in data[:4096]) and not _is_text(data[:4096]):
        raise DataError(
            f"{path}: the format is not known; give text (.csv, .tsv, .txt, .data), .parquet, .feather, .jsonl, .xlsx, "
            ".arff or .npz, packed or not (.gz, .zip, .xz), or a folder of IDX files"
        )
    return by_content or "text"


def _is_text(data: bytes) -> bool:
    """Whether bytes look like text: no controls besides line ends and tabs, or a byte order mark of UTF-16."""
    return data.startswith((b"\xff\xfe", b"\xfe\xff")) or not any(
        byte < 32 and byte not in b"\t\n\r\f" for byte in data
    )
