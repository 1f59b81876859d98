"""Arrays in files, handed out block by block: never more than a few megabytes of them in memory."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from crossent.errors import DataError

__all__ = ["Stored", "open_stored"]
from .stored import Array, Stored

SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2"}
SAFETENSORS |= {"I8": "i1", "U8": "u1", "BOOL": "?", "U16": "<u2", "U32": "<u4", "U64": "<u8"}
USUAL_NAMES = {
    "logits": ("logits", "scores", "probs", "probabilities", "y_pred", "x"),
    "targets": ("targets", "labels", "y", "y_true"),
}
TABLES = {".csv", ".tsv", ".txt", ".parquet", ".pq"}


def open_stored(source: str, wanted: str) -> Stored:
    """Open an array: PATH, or PATH:NAME of one array in an .npz or .safetensors file, or one column of a table.

    Args:
        source: a path (.npy, .npz, .safetensors, .parquet, .csv, .tsv), perhaps with a name.
        wanted: what it should be, for messages; of several arrays in a file, the one of this name is taken.

    Raises:
        DataError: no such file, damaged, or not an array of numbers.
    """
    path, name = _path_and_name(source)
    if not path.exists():
        raise DataError(f"no such file: {path}")
    if path.is_dir():
        raise DataError(f"{path} is a folder; {wanted} are one file")
    reader = READERS.get(path.suffix.lower())
    if reader is None and set(path.suffixes) & TABLES:
        reader = _table
    if reader is None:
        raise DataError(f"{path}: the format is not known; .npy, .npz, .safetensors, .parquet and .csv are")
    try:
        stored = reader(path, name, wanted)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or _first_line(error)}") from error
    except Exception as error:  # zip, struct, JSON and NumPy's header parser each have their own
        raise DataError(f"{path} is damaged or not a {path.suffix} file: {_first_line(error)}") from error
    if stored.rows == 0:
        raise DataError(f"{path} holds no rows: its shape is {stored.shape}")
    return stored


def _path_and_name(source: str) -> tuple[Path, str | None]:
    """The path, and the name after its last colon, where there is no file of the whole name."""
    path = Path(source).expanduser()
    before, colon, name = source.rpartition(":")
    if not path.exists() and colon and Path(before).expanduser().exists():
        return Path(before).expanduser(), name
    return path, None


def _first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _npy(path: Path, _name: str | None, _wanted: str) -> Stored:
    """NumPy's own file, mapped."""
    with path.open("rb") as file:
        shape, in_columns, dtype = _npy_header(file)
        offset = file.tell()
    if in_columns and len(shape) > 1:
        whole = np.load(path, mmap_mode="r", allow_pickle=False)
        return _of_array(path, shape, dtype, lambda start, stop: whole.reshape(-1, shape[-1])[start:stop])
    return _mapped(path, shape, dtype, offset)


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, order and dtype of NumPy's file; the data follow."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = read(file)
    return shape, in_columns, dtype


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int, bfloat16: bool = False) -> Stored:
    """A plain array in a file: each block is mapped by itself, so that what was read is let go."""
    row = int(np.prod(shape[1:] if len(shape) < 2 else shape[-1:], dtype=object)) * dtype.itemsize
    size = path.stat().st_size - offset
    if int(np.prod(shape, dtype=object)) * dtype.itemsize > size:
        raise DataError(
            f"{path} is cut off: an array of shape {shape} and dtype {dtype} needs more than its {size} bytes"
        )

    def take(start: int, stop: int) -> Array:
        rows = (stop - start, shape[-1]) if len(shape) > 1 else (stop - start,)
        block: Array = np.memmap(path, dtype, "r", offset + start * row, rows)
        return _from_bfloat16(block) if bfloat16 else block

    return _of_array(path, shape, np.dtype(np.float32) if bfloat16 else dtype, take)


def _from_bfloat16(bits: Array) -> Array:
    """bfloat16 is the upper half of float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _of_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], take: Callable[[int, int], Array]) -> Stored:
    """An array of which any rows can be taken; leading axes become one."""
    if dtype.kind not in "fiub":
        raise DataError(f"{path} holds values of dtype {dtype}; numbers are needed")
    if not shape:
        raise DataError(f"{path} holds a single number; rows are needed")
    rows, columns = (int(np.prod(shape[:-1], dtype=object)), shape[-1]) if len(shape) > 1 else (shape[0], 0)

    def blocks(size: int) -> Iterator[Array]:
        for start in range(0, rows, size):
            yield take(start, min(start + size, rows))

    return Stored(path, rows, columns, str(dtype), blocks, shape=shape)


def _npz(path: Path, name: str | None, wanted: str) -> Stored:
    """One array of an .npz file, read as it is unpacked."""
    with zipfile.ZipFile(path) as archive:
        members = {member.removesuffix(".npy"): member for member in archive.namelist() if member.endswith(".npy")}
        member = members[_choose(path, name, wanted, list(members))]
        with archive.open(member) as file:
            shape, in_columns, dtype = _npy_header(file)
    if in_columns and len(shape) > 1:
        raise DataError(f"{path} holds {member} column by column; save np.ascontiguousarray of it")
    if len(shape) == 0 or dtype.kind not in "fiub":
        raise DataError(f"{path} holds an array of shape {shape} and dtype {dtype}; rows of numbers are needed")
    rows, columns = (int(np.prod(shape[:-1], dtype=object)), shape[-1]) if len(shape) > 1 else (shape[0], 0)

    def blocks(size: int) -> Iterator[Array]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            _npy_header(file)
            for start in range(0, rows, size):
                count = min(size, rows - start)
                yield _read_rows(path, file, count, columns, dtype)

    return Stored(path, rows, columns, str(dtype), blocks, shape=shape)


def _read_rows(path: Path, file: IO[bytes], count: int, columns: int, dtype: np.dtype[Any]) -> Array:
    """The next rows of a stream."""
    wanted = count * max(1, columns) * dtype.itemsize
    try:
        data = file.read(wanted)
    except Exception as error:  # zlib's and zipfile's
        raise DataError(f"{path} is damaged: {_first_line(error)}") from error
    if len(data) < wanted:
        raise DataError(f"{path} is cut off: {len(data)} of {wanted} bytes are left where the next rows should be")
    return np.frombuffer(data, dtype).reshape((count, columns) if columns else (count,))


def _safetensors(path: Path, name: str | None, wanted: str) -> Stored:
    """One tensor of a .safetensors file, mapped.

    Source: the safetensors format: 8 bytes of length, a JSON header, then the tensors.
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            raise DataError(f"{path} is cut off or not a .safetensors file")
        header = json.loads(file.read(length))
    tensors = {key: entry for key, entry in header.items() if key != "__metadata__"}
    entry = tensors[_choose(path, name, wanted, list(tensors))]
    if entry["dtype"] not in SAFETENSORS:
        raise DataError(f"{path} holds a tensor of dtype {entry['dtype']}; numbers are needed")
    dtype, offset = np.dtype(SAFETENSORS[entry["dtype"]]), 8 + length + entry["data_offsets"][0]
    return _mapped(path, tuple(entry["shape"]), dtype, offset, bfloat16=entry["dtype"] == "BF16")


def _choose(path: Path, name: str | None, wanted: str, names: list[str]) -> str:
    """The array of that name; of one in a file, that one; of several, the one that is called as what is wanted."""
    if name in names:
        return str(name)
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    if name is not None:
        raise DataError(f"{path} holds no array {name!r}; it holds {shown or 'nothing'}")
    if len(names) == 1:
        return names[0]
    known = {
        "logits": ("logits", "scores", "probs", "probabilities", "y_pred", "x"),
        "targets": ("targets", "labels", "y", "y_true"),
    }
    for candidate in known.get(wanted, ()):
        if candidate in names:
            return candidate
    raise DataError(f"{path} holds {len(names)} arrays ({shown}); name one: {path}:{names[0] if names else 'NAME'}")


def _table(path: Path, name: str | None, wanted: str) -> Stored:
    """A table's columns."""
    from .tables import open_table

    return open_table(path, name, wanted)


READERS = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    **dict.fromkeys(TABLES, _table),
}
