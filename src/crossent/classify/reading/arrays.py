"""Arrays: scikit-learn's own data sets, NPZ files and folders of IDX files, as tables."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError

from .opened import Opened, read_bytes, require_room, unpacked
from .table import Table, not_a, one_line

__all__ = ["BUILT_IN", "read_built_in", "read_idx", "read_idx_folder", "read_npz"]

Array = npt.NDArray[Any]

BUILT_IN = ("digits", "wine", "iris", "breast_cancer")
IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_built_in(name: str) -> Table:
    """One of scikit-learn's bundled data sets, its classes by their names."""
    import pandas as pd
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    columns = pd.DataFrame(bunch.data, columns=[str(feature) for feature in bunch.feature_names])
    labels = np.array([str(label) for label in bunch.target_names], dtype=object)[bunch.target]
    return Table(columns, labels, picture_shape=(8, 8) if name == "digits" else None)


def read_npz(file: Opened) -> Table:
    """An NPZ file with x and y, or with x_train and y_train and perhaps x_test and y_test."""
    path = file.path
    try:
        with np.load(file.stream(), allow_pickle=False) as archive:
            require_room(path, sum(member.file_size for member in archive.zip.infolist()))
            arrays = {name.lower(): archive[name] for name in archive.files}
    except Exception as error:  # zip, zlib, struct and NumPy's header parser each have their own
        raise not_a(path, "an NPZ file of plain arrays", error) from error
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
    if y is not None and y.dtype.kind not in "biufSUMm":
        raise DataError(f"{path}: y{part} has dtype {y.dtype}; labels are numbers, texts or dates")
    return _pictures(x, _plain(y), f"{path}: x{part}", test)


def _plain(array: Array | None) -> Any:
    """Long doubles, of which pandas knows nothing, as float64."""
    return array if array is None or array.dtype != np.longdouble else array.astype(np.float64)


def _pictures(x: Array, y: Array | None, where: str, test: Table | None = None) -> Table:
    """Rows of numbers (n, features), or pictures (n, height, width) or (n, height, width, 1 or 3), as a table."""
    import pandas as pd

    if x.dtype.kind not in "fiub" or x.ndim not in {2, 3, 4} or x.size == 0:
        raise DataError(
            f"{where} has shape {x.shape} and dtype {x.dtype}; numbers of shape (rows, features), (rows, height, "
            "width) or (rows, height, width, channels) are needed"
        )
    x = _plain(x)
    if x.ndim == 4 and x.shape[1] in {1, 3} and x.shape[3] not in {1, 3}:
        x = np.moveaxis(x, 1, 3)
    shape = x.shape[1:3] if x.ndim == 4 and x.shape[3] == 1 else x.shape[1:]
    picture = shape if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3) else None
    names = [f"{'pixel' if picture else 'x'}{index}" for index in range(int(np.prod(shape)))]
    return Table(pd.DataFrame(x.reshape(len(x), -1), columns=names), y, picture, test, named=False)


def read_idx_folder(folder: Path) -> Table:
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
    if x.ndim < 1 or y.ndim != 1 or len(x) != len(y):
        raise DataError(f"{images} has shape {x.shape} and {labels.name} {y.shape}; one label a picture is needed")
    return x, y


def read_idx(path: Path) -> Array:
    """Read one IDX file, gzipped or not; a truncated or foreign file is a DataError.

    Source: Y. LeCun, C. Cortes & C. Burges, "The MNIST database of handwritten digits" (the file format).
    """
    data = read_bytes(path)
    if data[:2] == b"\x1f\x8b":
        try:
            data = unpacked(path, "gzip", data)
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
