"""Readers: scikit-learn's own data sets, CSV/TSV, Parquet, NPZ and IDX, each as a table of features and labels."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BUILT_IN", "Table", "read"]

Array = npt.NDArray[Any]

BUILT_IN = ("digits", "wine", "iris", "breast_cancer")
SEPARATORS = (",", ";", "\t", "|")
MISSING = ["?"]  # what the UCI repository writes for a missing value, besides pandas' own list
IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass(frozen=True)
class Table:
    """What a source holds: named columns; the labels, where it keeps them apart; a test part, where it has one.

    `named` says whether the columns have names of their own, so that one of them may be the target. `written` gives
    a column's cells as the file has them, None where one is empty: what a label is made of.
    """

    columns: pd.DataFrame
    labels: Array | None = None
    picture_shape: tuple[int, ...] | None = None
    test: Table | None = None
    named: bool = True
    written: Callable[[str], list[Any]] | None = None


def read(source: str) -> Table:
    """Read a data set by its name (digits, wine, iris, breast_cancer) or path (CSV, TSV, Parquet, NPZ, folder of IDX).

    Raises:
        DataError: there is no such file, or it cannot be read as what its name says.

    Example:
        >>> read("iris").columns.shape
        (150, 4)
    """
    if source in BUILT_IN:
        return _read_built_in(source)
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return _read_idx_folder(path)
        if not path.exists():
            raise DataError(f"no such file: {path} (data sets with a name: {', '.join(BUILT_IN)})")
        return _reader(path)(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error


def one_line(error: Exception) -> str:
    """The first line of what a library says, or the error's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _reader(path: Path) -> Callable[[Path], Table]:
    """The reader for a file, by its name's ending (gzipped CSV included)."""
    endings = [ending.lower() for ending in path.suffixes]
    ending = "".join(endings[-2:]) if endings[-1:] == [".gz"] else "".join(endings[-1:])
    text = dict.fromkeys((".csv", ".csv.gz", ".tsv", ".tsv.gz"), _read_text)
    reader = {**text, ".parquet": _read_parquet, ".pq": _read_parquet, ".npz": _read_npz}.get(ending)
    if reader is None:
        raise DataError(
            f"{path}: the format is not known; give a .csv, .tsv, .parquet or .npz file, or a folder of IDX files"
        )
    return reader


def _read_built_in(name: str) -> Table:
    """One of scikit-learn's bundled data sets, its classes by their names."""
    import pandas as pd
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    columns = pd.DataFrame(bunch.data, columns=[str(feature) for feature in bunch.feature_names])
    labels = np.array([str(label) for label in bunch.target_names], dtype=object)[bunch.target]
    return Table(columns, labels, picture_shape=(8, 8) if name == "digits" else None)


def _read_text(path: Path) -> Table:
    """A CSV or TSV file with a header line; comma, semicolon, tab or bar, whichever the header has most of."""
    import pandas as pd

    try:
        separator = "\t" if ".tsv" in path.suffixes else max(SEPARATORS, key=_first_line(path).count)
        columns = pd.read_csv(
            path, sep=separator, encoding="utf-8-sig", skipinitialspace=True, na_values=MISSING, low_memory=False
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty; a header line and at least two rows are needed") from None
    except OSError:
        raise
    except Exception as error:  # of many kinds, by what the damaged text happens to look like
        raise DataError(f"{path} is not a table of text in UTF-8: {one_line(error)}") from error
    if not isinstance(columns.index, pd.RangeIndex):
        raise DataError(f"{path}: the rows have more values than the header line has names")
    if all(_looks_like_a_value(str(name)) for name in columns.columns):
        raise DataError(f"{path}: the first line looks like data, not like column names; put a header line before it")

    def written(position: int) -> list[Any]:
        """The cells of one column as text; only an empty one is missing."""
        column = pd.read_csv(
            path,
            sep=separator,
            encoding="utf-8-sig",
            skipinitialspace=True,
            usecols=[position],
            dtype=str,
            keep_default_na=False,
            na_values=[""],
        ).iloc[:, 0]
        return list(column.astype(object).where(column.notna(), None))

    return _named(columns, path, written)


def _first_line(path: Path) -> str:
    """The header line of a text file, gzipped or not."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return file.readline(1_000_000)


def _read_parquet(path: Path) -> Table:
    """A Parquet file; its index, where pandas stored one, is left out."""
    import pandas as pd

    try:
        columns = pd.read_parquet(path, engine="pyarrow")
        columns.select_dtypes(exclude="number").to_numpy()  # text that is not UTF-8 shows when it is looked at
    except Exception as error:  # pyarrow has a dozen kinds for a damaged file
        raise DataError(f"{path} is not a Parquet file: {one_line(error)}") from error
    return _named(columns.reset_index(drop=True), path, lambda position: _parquet_cells(path, position))


def _parquet_cells(path: Path, position: int) -> list[Any]:
    """The cells of one column as Python's own objects: whole numbers stay whole where some are missing."""
    from pyarrow import parquet, types

    name = parquet.read_schema(path).names[position]
    column = parquet.read_table(path, columns=[name]).column(0)
    return list(column.to_numpy()) if types.is_floating(column.type) else list(column.to_pylist())


def _named(columns: pd.DataFrame, path: Path, written: Callable[[int], list[Any]]) -> Table:
    """Column names as text; a table without a row, or with one name twice, is refused; an unnamed index is left out."""
    names = [str(name).strip() for name in columns.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: more than one column is named {twice[0]!r}")
    columns = columns.set_axis(names, axis=1)
    columns = columns.drop(columns=[name for name in names if name in {"Unnamed: 0", "__index_level_0__"}])
    if columns.empty:
        raise DataError(f"{path} has no rows; a header line and at least two rows are needed")
    return Table(columns, picture_shape=_picture_shape_of(columns), written=lambda name: written(names.index(name)))


def _picture_shape_of(columns: pd.DataFrame) -> tuple[int, int] | None:
    """A table whose columns are pixel0, pixel1, … (a square number of them) holds pictures."""
    pixels = [name for name in columns.columns if re.fullmatch(r"pixel_?\d+", name)]
    side = round(len(pixels) ** 0.5)
    return (side, side) if side >= 4 and side**2 == len(pixels) >= columns.shape[1] - 1 else None


def _read_npz(path: Path) -> Table:
    """An NPZ file with x and y, or with x_train and y_train and perhaps x_test and y_test."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name.lower(): archive[name] for name in archive.files}
    except Exception as error:  # zip, zlib, struct and NumPy's header parser each have their own
        raise DataError(f"{path} is not an NPZ file of plain arrays: {one_line(error)}") from error
    if "x_train" in arrays:
        test = _from_arrays(path, arrays, "_test") if "x_test" in arrays else None
        return _from_arrays(path, arrays, "_train", test)
    if "x" not in arrays:
        raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}; x and y, or x_train and y_train, are needed")
    return _from_arrays(path, arrays, "")


def _from_arrays(path: Path, arrays: dict[str, Array], part: str, test: Table | None = None) -> Table:
    """The table of x and y, of x_train and y_train, or of x_test and y_test."""
    x, y = arrays[f"x{part}"], arrays.get(f"y{part}")
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y is not None and (y.ndim != 1 or len(y) != len(np.atleast_1d(x))):
        raise DataError(
            f"{path}: y{part} has shape {y.shape} and x{part} {x.shape}; one label a row is needed "
            "(argmax(axis=1) turns one-hot rows into labels)"
        )
    return _pictures(x, y, f"{path}: x{part}", test)


def _pictures(x: Array, y: Array | None, where: str, test: Table | None = None) -> Table:
    """Rows of numbers (n, features), or pictures (n, height, width) or (n, height, width, 1 or 3), as a table."""
    import pandas as pd

    if x.dtype.kind not in "fiub" or x.ndim not in {2, 3, 4} or x.size == 0:
        raise DataError(
            f"{where} has shape {x.shape} and dtype {x.dtype}; numbers of shape (rows, features), (rows, height, "
            "width) or (rows, height, width, channels) are needed"
        )
    if x.ndim == 4 and x.shape[1] in {1, 3} and x.shape[3] not in {1, 3}:
        x = np.moveaxis(x, 1, 3)
    shape = x.shape[1:3] if x.ndim == 4 and x.shape[3] == 1 else x.shape[1:]
    picture = shape if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3) else None
    names = [f"{'pixel' if picture else 'x'}{index}" for index in range(int(np.prod(shape)))]
    return Table(pd.DataFrame(x.reshape(len(x), -1), columns=names), y, picture, test, named=False)


def _read_idx_folder(folder: Path) -> Table:
    """A folder of IDX files as MNIST is distributed: train-images and train-labels, and t10k-… as the test part."""
    test = _read_idx_pair(folder, "t10k", "test")
    train = _read_idx_pair(folder, "train")
    if train is None:
        raise DataError(f"{folder} has no train-images-idx3-ubyte[.gz] and train-labels-idx1-ubyte[.gz]")
    return _pictures(*train, where=str(folder), test=_pictures(*test, where=str(folder)) if test else None)


def _read_idx_pair(folder: Path, *parts: str) -> tuple[Array, Array] | None:
    """The images and the labels of one part, or None where the folder has neither."""
    found = {}
    for kind in ("images", "labels"):
        paths = sorted(path for part in parts for path in folder.glob(f"*{part}-{kind}[-.]idx*"))
        found[kind] = paths[0] if paths else None
    images, labels = found["images"], found["labels"]
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        raise DataError(f"{folder} has {parts[0]} {'labels' if images is None else 'images'} only; both are needed")
    x, y = read_idx(images), read_idx(labels)
    if y.ndim != 1 or len(x) != len(y):
        raise DataError(f"{images} has shape {x.shape} and {labels.name} {y.shape}; one label a picture is needed")
    return x, y


def read_idx(path: Path) -> Array:
    """Read one IDX file, gzipped or not; a truncated or foreign file is a DataError.

    Source: Y. LeCun, C. Cortes & C. Burges, "The MNIST database of handwritten digits" (the file format).
    """
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path} is a damaged gzip file: {one_line(error)}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_DTYPES or len(data) < 4 + 4 * data[3]:
        raise DataError(f"{path} is not an IDX file")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    dtype = np.dtype(IDX_DTYPES[data[2]])
    start, wanted = 4 + 4 * data[3], int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(data) - start != wanted:
        raise DataError(f"{path} holds {len(data) - start} bytes of data, its header speaks of {wanted}: it is damaged")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _looks_like_a_value(name: str) -> bool:
    """Whether a column's name is a number (pandas writes a second 5.1 as 5.1.1) or was missing."""
    try:
        float(re.sub(r"(\.\d+)\.\d+$", r"\1", name))
    except ValueError:
        return name.startswith("Unnamed:")
    return True
