"""From a table to numbers: categories, words, numbers; all by scikit-learn's own transformers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError

from .columns import DATE_PARTS, as_dates, as_numbers, as_text, counted, number_columns, part_of, understand
from .data import named_list
from .numbers import number_of

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer

__all__ = [
    "check_fitted",
    "columns_of",
    "fit",
    "joined",
    "sources_of",
    "templates",
    "transform",
    "unseen_values",
]

MISSING = "(missing)"
MOST_WORDS = 1000  # of a column of prose
MOST_CATEGORIES = 100  # the rarest values of a text column beyond these share one column


def fit(
    features: pd.DataFrame, pictures: bool = False, text: Collection[str] = ()
) -> tuple[ColumnTransformer, list[str]]:
    """Fit the transformers on the training part.

    Numbers: median for what is missing, then mean 0 and variance 1; a date is four of them. Text: one-hot, what is
    missing a value of its own. Prose: TF-IDF of its words. Pictures: each pixel to [0, 1].

    Args:
        features: a column each; text as it was read.
        pictures: whether all columns are pixels.
        text: columns that hold words, whatever they look like.

    Returns:
        The fitted transformer, and a sentence on each column that was left out, or of which something was guessed.

    Raises:
        DataError: a column that is half numbers, half text; infinity; no usable column.
    """
    kinds: dict[str, list[str]] = {"pixels": list(features.columns)} if pictures else {}
    notes: list[str] = []
    for name in () if pictures else features.columns:
        found = understand(features[name], name in text)
        if found.usable:
            kinds.setdefault(found.kind, []).append(name)
            notes += found.notes
        else:
            notes.append(f"column {name!r} left out: {found.kind}")
    if not kinds:
        raise DataError(f"no column can be learned from: {'; '.join(notes)}")

    transformer = joined(_steps(kinds))
    with np.errstate(over="ignore", invalid="ignore"):  # `transform` says which row is too large
        transformer.fit(_normalised(transformer, features))
    return transformer, notes


def transform(transformer: ColumnTransformer, features: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Numbers for the network: (rows, inputs) in float32; columns are found by name, in any order, others ignored.

    Raises:
        DataError: a column is missing, holds text where numbers are expected, or values too large to compute with.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.asarray(transformer.transform(_normalised(transformer, features))).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
        raise DataError(f"row {features.index[wrong[0]] + 1} holds a number too large to compute with")
    return rows


def unseen_values(transformer: ColumnTransformer, features: pd.DataFrame) -> list[str]:
    """A sentence on each column that holds what training has not seen: other texts, words where numbers are."""
    columns = columns_of(transformer)
    notes = []
    for name in columns.get("numbers", []):
        if features[name].dtype.kind not in "fiub":
            words = Counter(cell for cell in as_text(features[name]).dropna() if number_of(cell) is None)
            notes += [f"column {name!r}: {counted(words)} taken as missing"] if words else []
    text = columns.get("text", [])
    known = transformer.named_transformers_["text"].named_steps["one-hot"].categories_ if text else []
    for name, values in zip(text, known, strict=True):
        unseen = sorted(set(as_text(features[name]).dropna()) - set(values))
        if unseen:
            notes.append(f"column {name!r} has values never seen in training: {named_list(unseen, 4)}")
    return notes


def check_fitted(transformer: ColumnTransformer, inputs: int) -> None:
    """Raise a DataError unless a row in which everything is missing becomes as many numbers as the network takes."""
    import pandas as pd

    columns = columns_of(transformer)
    missing = {"pixels": 0.0, "numbers": np.nan}
    row = {name: [missing.get(kind)] for kind, names in columns.items() for name in names}
    rows = transform(transformer, pd.DataFrame(row))
    if rows.shape != (1, inputs):
        raise DataError(f"it gives {rows.shape[1]} numbers a row, the network takes {inputs}")


def columns_of(transformer: ColumnTransformer) -> dict[str, list[str]]:
    """The columns that are used, by kind: numbers, text, dates, prose, pixels."""
    found: dict[str, list[str]] = {}
    for step, _, _ in transformer.transformers:
        found.setdefault(step.split(" ")[0], []).extend(sources_of(transformer, step))
    return found


def sources_of(transformer: ColumnTransformer, step: str) -> list[str]:
    """The table's columns that a step takes; a date gives several."""
    names = next(names for name, _, names in transformer.transformers if name == step)
    sources = [names] if isinstance(names, str) else [name.split(part_of("", ""))[0] for name in names]
    return list(dict.fromkeys(sources))


def joined(steps: list[tuple[str, Any, Any]]) -> ColumnTransformer:
    """The steps side by side."""
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer(steps, sparse_threshold=0.0)


def templates() -> dict[str, Any]:
    """A new transformer of each kind of column."""
    return {"numbers": _numbers(), "dates": _numbers(), "text": _categories(), "prose": _words(), "pixels": _pixels()}


def _steps(kinds: dict[str, list[str]]) -> list[tuple[str, Any, Any]]:
    """The transformers of each kind of column: their name, which keeps a date's format, and the columns they take."""
    steps: list[tuple[str, Any, Any]] = []
    for kind, names in kinds.items():
        if kind == "prose":
            steps += [(f"prose {place}", _words(), name) for place, name in enumerate(names)]
        elif kind.startswith("dates"):
            steps.append((kind, _numbers(), [part_of(name, part) for name in names for part in DATE_PARTS]))
        else:
            steps.append((kind, {"numbers": _numbers, "text": _categories, "pixels": _pixels}[kind](), names))
    return steps


def _numbers() -> Any:
    """The median for what is missing, then mean 0 and variance 1."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("imputer", imputer), ("scaler", StandardScaler())])


def _categories() -> Any:
    """A column for each value; what is missing is a value of its own."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    imputer = SimpleImputer(strategy="constant", fill_value=MISSING)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, max_categories=MOST_CATEGORIES)
    return Pipeline([("imputer", imputer), ("one-hot", one_hot)])


def _words() -> Any:
    """How often each word occurs, the rare ones weighing more."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(max_features=MOST_WORDS, sublinear_tf=True, token_pattern=r"\w+")


def _pixels() -> Any:
    """Each pixel from 0 to 1."""
    from sklearn.preprocessing import MinMaxScaler

    return MinMaxScaler(clip=True)


def _normalised(transformer: ColumnTransformer, features: pd.DataFrame) -> pd.DataFrame:
    """The used columns alone: float64 numbers, float32 pixels, text as objects with NaN for what is missing."""
    import pandas as pd

    columns = columns_of(transformer)
    missing = [name for names in columns.values() for name in names if name not in features.columns]
    if missing:
        raise DataError(f"the data lacks {len(missing)} of the columns trained on: {named_list(missing)}")
    if "pixels" in columns:
        return _as_pixels(features[columns["pixels"]])
    converted = number_columns(features[columns.get("numbers", [])])
    converted |= {name: as_text(features[name]) for name in columns.get("text", [])}
    converted |= {name: as_text(features[name]).fillna("") for name in columns.get("prose", [])}
    for step, _, _ in transformer.transformers:
        if step.startswith("dates"):
            for name in sources_of(transformer, step):
                converted |= dict(as_dates(features[name], step.removeprefix("dates").strip()).items())
    return pd.DataFrame(converted, index=features.index)


def _as_pixels(pixels: pd.DataFrame) -> pd.DataFrame:
    """Pixels as float32; one that is missing or a word is an error."""
    import pandas as pd

    for name in pixels.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in pixels.dtypes]]:
        as_numbers(pixels[name])
    if pixels.isna().to_numpy().any():
        row = pixels.index[int(np.argmax(pixels.isna().to_numpy().any(axis=1)))] + 1
        raise DataError(f"the picture in row {row} has a missing pixel; each needs a number")
    return pixels.astype(np.float32)
