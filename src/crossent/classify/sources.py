"""Where data comes from: a data set's name, a file of any of the usual formats, a folder of IDX files."""

from __future__ import annotations

from collections.abc import Callable

from crossent._system import files
from crossent.errors import DataError

from .reading.arrays import BUILT_IN, read_built_in, read_idx, read_idx_folder, read_npz
from .reading.frames import read_arff, read_arrow, read_excel, read_json, read_parquet
from .reading.opened import Opened, open_file
from .reading.options import AS_FOUND, ReadingOptions
from .reading.table import Table, one_line
from .reading.text import read_text

__all__ = ["BUILT_IN", "Table", "one_line", "read", "read_idx"]

READERS: dict[str, Callable[[Opened, ReadingOptions], Table]] = {
    "text": read_text,
    "parquet": lambda file, _: read_parquet(file),
    "arrow": lambda file, _: read_arrow(file),
    "json": read_json,
    "excel": read_excel,
    "arff": read_arff,
    "npz": lambda file, _: read_npz(file),
}


def read(source: str, options: ReadingOptions = AS_FOUND) -> Table:
    """Read a data set by its name (digits, wine, iris, breast_cancer) or path.

    A path leads to text (.csv, .tsv, .txt, .data), .parquet, .feather, .jsonl, .xlsx, .arff or .npz, packed or not
    (.gz, .zip, .xz), or to a folder of IDX files.

    Raises:
        DataError: there is no such file, or it cannot be read as what its name says.

    Example:
        >>> read("iris").columns.shape
        (150, 4)
    """
    if source in BUILT_IN:
        return read_built_in(source)
    path = files.expanded(source)
    try:
        if path.is_dir():
            return read_idx_folder(path)
        if not path.exists():
            raise DataError(f"no such file: {path} (data sets with a name: {', '.join(BUILT_IN)})")
        file = open_file(path)
        return READERS[file.kind](file, options)
    except (OSError, ValueError) as error:  # a path that no system takes is a ValueError
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or one_line(error)}") from error
