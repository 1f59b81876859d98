"""From a table to numbers: text one-hot, missing values filled, numbers scaled, by scikit-learn's own transformers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError, RunFolderError

from .data import named_list
from .sources import one_line

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer

__all__ = ["fit", "load", "transform", "unseen_values"]

MISSING = "(missing)"
MOST_CATEGORIES = 100  # the rarest values of a text column beyond these share one column
TRUSTED = frozenset({"numpy.dtype"})  # what a file may hold besides the types that skops itself knows to be harmless


def fit(features: pd.DataFrame, pictures: bool = False) -> tuple[ColumnTransformer, list[str]]:
    """Fit the transformers on the training part.

    Numbers: median for what is missing, then mean 0 and variance 1. Text: one-hot, what is missing a value of its own.
    Pictures: each pixel to [0, 1].

    Returns:
        The fitted transformer, and a sentence on each column that was left out.

    Raises:
        DataError: a column that is half numbers, half text; infinity; no usable column.
    """
    kinds: dict[str, list[str]] = {}
    notes = []
    for name in features.columns:
        kind = "pixels" if pictures else _kind(features[name])
        kinds.setdefault(kind, []).append(name)
        if kind not in _pipelines():
            notes.append(f"column {name!r} left out: {kind}")
    used = [(kind, pipeline, kinds[kind]) for kind, pipeline in _pipelines().items() if kinds.get(kind)]
    if not used:
        raise DataError(f"no column can be learned from: {'; '.join(notes)}")

    from sklearn.compose import ColumnTransformer

    transformer = ColumnTransformer(used, sparse_threshold=0.0)
    transformer.fit(_normalised(transformer, features))
    return transformer, notes


def transform(transformer: ColumnTransformer, features: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Numbers for the network: (rows, inputs) in float32; columns are found by name, in any order, others ignored.

    Raises:
        DataError: a column is missing, holds text where numbers are expected, or values too large to compute with.
    """
    with np.errstate(over="ignore"):
        rows = np.asarray(transformer.transform(_normalised(transformer, features))).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
        raise DataError(f"row {wrong[0] + 1} holds a number too large to compute with")
    return rows


def unseen_values(transformer: ColumnTransformer, features: pd.DataFrame) -> list[str]:
    """A sentence on each text column that holds values never seen in training; they count as none of the known ones."""
    columns = columns_of(transformer).get("text", [])
    if not columns:
        return []
    known = transformer.named_transformers_["text"].named_steps["one-hot"].categories_
    notes = []
    for name, values in zip(columns, known, strict=True):
        unseen = sorted(set(as_text(features[name]).dropna()) - set(values))
        if unseen:
            notes.append(f"column {name!r} has values never seen in training: {named_list(unseen, 4)}")
    return notes


def columns_of(transformer: ColumnTransformer) -> dict[str, list[str]]:
    """The columns that are used, by kind: numbers, text, pixels."""
    return {kind: list(names) for kind, _, names in transformer.transformers}


def load(path: Path) -> ColumnTransformer:
    """Load the transformer of a run; a file that holds any other type of object is refused before one is built.

    Raises:
        RunFolderError: damaged, or not what a run folder holds.
    """
    import skops.io
    from sklearn.compose import ColumnTransformer

    try:
        unknown = set(skops.io.get_untrusted_types(file=path)) - TRUSTED
        if unknown:
            raise RunFolderError(f"{path} holds objects that are not trusted: {named_list(sorted(unknown))}")
        transformer = skops.io.load(path, trusted=sorted(TRUSTED))
    except RunFolderError:
        raise
    except Exception as error:  # whatever a damaged archive makes the readers of zip, JSON and arrays say
        raise RunFolderError(f"{path} is damaged or not a run's preprocessing: {one_line(error)}") from error
    if not isinstance(transformer, ColumnTransformer):
        raise RunFolderError(f"{path} holds a {type(transformer).__name__}, not a run's preprocessing")
    return transformer


def _pipelines() -> dict[str, Any]:
    """The transformers of each kind of column."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

    number_imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    text_imputer = SimpleImputer(strategy="constant", fill_value=MISSING)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, max_categories=MOST_CATEGORIES)
    return {
        "numbers": Pipeline([("imputer", number_imputer), ("scaler", StandardScaler())]),
        "text": Pipeline([("imputer", text_imputer), ("one-hot", one_hot)]),
        "pixels": MinMaxScaler(clip=True),
    }


def _kind(column: pd.Series) -> str:
    """Whether a column holds "numbers" or "text"; else the reason why it is of no use."""
    import pandas as pd

    known = column.dropna()
    if known.empty:
        return "it has no values"
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        return "it holds times (turn them into numbers to use them)"
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return "numbers"
    if known.map(lambda value: isinstance(value, list | dict | tuple | set | np.ndarray)).any():
        return "it holds lists or records"
    text = known.map(str)
    _refuse_half_numbers(text)
    if text.nunique() > max(20, 0.9 * len(text)):
        return "nearly every row has a text of its own"
    return "text"


def _refuse_half_numbers(text: pd.Series) -> None:
    """A column of numbers with a few words in it is a mistake in the data, not a column of categories."""
    import pandas as pd

    words = text[pd.to_numeric(text, errors="coerce").isna()]
    if len(words) and len(words) <= 0.1 * len(text):
        raise DataError(
            f"column {text.name!r} holds numbers, but also {words.iloc[0]!r} (row {words.index[0] + 1}); correct it, "
            "or leave it empty where the value is missing"
        )
    if text.str.fullmatch(r"-?\d+,\d+").mean() > 0.5:
        raise DataError(f"column {text.name!r} has a decimal comma ({text.iloc[0]!r}); write it with a point")


def _normalised(transformer: ColumnTransformer, features: pd.DataFrame) -> pd.DataFrame:
    """The used columns alone: float64 numbers, float32 pixels, text as objects with NaN for what is missing."""
    import pandas as pd

    columns = columns_of(transformer)
    missing = [name for names in columns.values() for name in names if name not in features.columns]
    if missing:
        raise DataError(f"the data lacks {len(missing)} of the columns trained on: {named_list(missing)}")
    if "pixels" in columns:
        pixels = features[columns["pixels"]]
        for name in pixels.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in pixels.dtypes]]:
            as_numbers(features[name])
        if pixels.isna().to_numpy().any():
            raise DataError("a picture has a missing pixel; each needs a number")
        return pixels.astype(np.float32)
    converted = {name: as_numbers(features[name]) for name in columns.get("numbers", [])}
    converted |= {name: as_text(features[name]) for name in columns.get("text", [])}
    return pd.DataFrame(converted, index=features.index)


def as_numbers(column: pd.Series) -> pd.Series:
    """A column as float64, with NaN for what is missing; text or infinity is a DataError that shows where."""
    import pandas as pd

    numbers = column if pd.api.types.is_numeric_dtype(column) else pd.to_numeric(column, errors="coerce")
    numbers = numbers.astype("float64")
    words = column[numbers.isna() & column.notna()]
    if len(words):
        row = list(column.index).index(words.index[0]) + 1
        raise DataError(f"column {column.name!r} holds {str(words.iloc[0])!r} (row {row}) where a number is expected")
    if np.isinf(numbers).any():
        row = int(np.argmax(np.isinf(numbers))) + 1
        raise DataError(f"column {column.name!r} holds infinity (row {row}); leave it empty where a value is missing")
    return numbers


def as_text(column: pd.Series) -> pd.Series:
    """A column as text without blanks around it, with NaN for what is missing."""
    values = [_text_of(value) if there else np.nan for value, there in zip(column, column.notna(), strict=True)]
    return column.__class__(values, index=column.index, name=column.name, dtype=object)


def _text_of(value: Any) -> str:
    """A value as text; 3.0 as "3", since a column with gaps turns whole numbers into floats."""
    return (
        str(int(value)) if isinstance(value, float) and value.is_integer() else re.sub(r"\s+", " ", str(value)).strip()
    )
