"""Data sets for the classifier: which column is the target, which labels make sense, which rows are held out."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError

from .reading.options import AS_FOUND, ReadingOptions
from .sources import BUILT_IN, Table, read

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "encode", "load", "load_for_prediction", "named_list", "split"]

TARGET_NAMES = ("target", "label", "class", "y")
NESTED = (list, tuple, dict, set, np.ndarray)
MOST_FLOAT_CLASSES = 20  # more distinct fractions than this are measurements, not classes
MOST_NUMBER_CLASSES = 100  # more distinct whole numbers than this, each seldom, are measurements too


@dataclass(frozen=True)
class Dataset:
    """A table of features with one label (text) a row; `labels` is None where the target is not known.

    `positions` says where each row stands in its source, from 0; None where nothing was taken out.
    """

    name: str
    features: pd.DataFrame
    labels: npt.NDArray[np.object_] | None
    target: str
    picture_shape: tuple[int, ...] | None = None
    test: Dataset | None = None
    notes: tuple[str, ...] = ()
    positions: npt.NDArray[np.int64] | None = None

    @property
    def classes(self) -> list[str]:
        """The distinct labels: by value where all are numbers, else by the alphabet."""
        distinct = sorted(set() if self.labels is None else set(self.labels))
        try:
            values = {label: Decimal(label) for label in distinct}  # exact, as float is not above 2⁵³
        except InvalidOperation:
            return distinct
        return sorted(distinct, key=values.__getitem__) if all(map(Decimal.is_finite, values.values())) else distinct

    def rows(self, indices: npt.NDArray[np.int64]) -> Dataset:
        """The data set of these rows alone; the features' index tells where they stood, for messages."""
        labels = None if self.labels is None else self.labels[indices]
        positions = indices if self.positions is None else self.positions[indices]
        return replace(self, features=self.features.iloc[indices], labels=labels, positions=positions, test=None)

    def fingerprint(self) -> str:
        """A digest of every value, to know the same data again."""
        import pandas as pd

        digest = hashlib.sha256(repr((list(self.features.columns), self.target)).encode())
        digest.update(pd.util.hash_pandas_object(self.features, index=False).to_numpy().tobytes())
        digest.update(repr([] if self.labels is None else list(self.labels)).encode())
        return digest.hexdigest() + (self.test.fingerprint() if self.test else "")


def load(source: str, target: str | None = None, reading: ReadingOptions = AS_FOUND) -> Dataset:
    """Load a data set to train on.

    Args:
        source: digits, wine, iris or breast_cancer; or the path of a table or a folder of IDX files, as in `read`.
        target: the column to predict; by default one named target, label, class or y, else the last.
        reading: how to read it, where the file does not say it.

    Returns:
        Features, and the labels as text. `notes` says which target was taken and what was left out.

    Raises:
        DataError: the source cannot be read, or its target is not a set of classes.

    Example:
        >>> load("iris").classes
        ['setosa', 'versicolor', 'virginica']
    """
    table = _without(read(source, reading), reading.drop)
    target, found = _target_of(table, target)
    dataset = _labelled(source, table, target, reading.text)
    if dataset.labels is None:
        raise DataError(f"{source} has no labels: it holds x but no y")
    _check_classes(dataset)
    if dataset.test is not None:
        _check_test(dataset, dataset.test)
    return replace(dataset, notes=(*table.notes, found, *dataset.notes))


def load_for_prediction(
    source: str, target: str, text: Collection[str] = (), reading: ReadingOptions = AS_FOUND
) -> Dataset:
    """Load a data set to predict for; of one with a test part, that part. Labels are taken where `target` is there.

    Args:
        source: as for `load`.
        target: the column of the labels, if it is there.
        text: the columns that held words in training: here too, whatever they look like.
        reading: how to read it, where the file does not say it.

    Raises:
        DataError: the source cannot be read.
    """
    table = read(source, reading)
    dataset = _labelled(source, table.test or table, target, text, keep_unlabelled=True)
    return replace(dataset, notes=table.notes)


def split(dataset: Dataset, held_out: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split into a training part and a held-out part with the same mix of classes; a test part is taken as it is.

    A class of a single row stays in training.

    Args:
        dataset: with labels.
        held_out: the share of the rows to hold out, between 0 and 1.
        seed: the same seed gives the same split.

    Raises:
        DataError: a part would be smaller than the number of classes.

    Example:
        >>> train, held_out = split(load("iris"), 0.2, seed=0)
        >>> len(train.features), len(held_out.features)
        (120, 30)
    """
    from sklearn.model_selection import train_test_split

    if dataset.test is not None:
        return replace(dataset, test=None), dataset.test
    indices = encode(np.asarray(dataset.labels), dataset.classes)  # NumPy's own text would drop a NUL at the end
    counts = np.bincount(indices)
    single = np.flatnonzero(counts[indices] == 1)
    shared = np.flatnonzero(counts[indices] > 1)
    rows, classes = len(shared), int(np.sum(counts > 1))
    smaller = min(int(np.ceil(rows * held_out)), rows - int(np.ceil(rows * held_out)))
    if classes < 2:
        alone = named_list([name for name, count in zip(dataset.classes, counts, strict=True) if count == 1])
        raise DataError(
            f"class {alone} has a single row; two classes need one to train on and one to hold out: add rows"
        )
    if smaller < classes:
        raise DataError(
            f"holding out {held_out:g} of {rows} rows leaves {smaller} on one side, fewer than the {classes} "
            "classes; change --held-out or add rows"
        )
    train, rest = train_test_split(shared, test_size=held_out, stratify=indices[shared], random_state=seed)
    return dataset.rows(np.sort(np.concatenate([train, single]))), dataset.rows(np.sort(rest))


def encode(labels: npt.NDArray[np.object_], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """The index of each label among the classes, −1 where it is none of them."""
    positions = {label: index for index, label in enumerate(classes)}
    return np.array([positions.get(label, -1) for label in labels], dtype=np.int64)


def named_list(names: Sequence[Any], most: int = 8) -> str:
    """Names in quotes, the first few of many."""
    shown = ", ".join(repr(str(name)) for name in names[:most])
    return shown + (f", … ({len(names)} in all)" if len(names) > most else "")


def _target_of(table: Table, target: str | None) -> tuple[str, str]:
    """The target column's name, and a sentence on why it was taken."""
    columns = list(table.columns.columns)
    if table.labels is not None or not table.named:
        if target not in {None, "target", "y"}:
            raise DataError(f"this data set keeps its labels apart from its columns; leave --target {target!r} out")
        return "target", "target: the data set's own labels"
    if target is not None:
        if target in columns:
            return target, f"target: column {target!r}"
        near = difflib.get_close_matches(target, columns, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the columns are {named_list(columns)}"
        raise DataError(f"no column is named {target!r}; {hint}")
    by_name = {name.lower(): name for name in reversed(columns)}
    for name in TARGET_NAMES:
        if name in by_name:
            return by_name[name], f"target: column {by_name[name]!r}, by its name"
    return columns[-1], f"target: column {columns[-1]!r}, the last one (--target chooses another)"


def _without(table: Table, drop: Collection[str]) -> Table:
    """The table without the columns that were to be left out."""
    unknown = [name for name in drop if name not in table.columns.columns]
    if unknown:
        raise DataError(
            f"--drop {unknown[0]!r}: there is no such column; the columns are {named_list(table.columns.columns)}"
        )
    return replace(table, columns=table.columns.drop(columns=list(drop))) if drop else table


def _as_words(table: Table, text: Collection[str]) -> pd.DataFrame:
    """The columns, those that hold words as they are written: 007 stays 007."""
    import pandas as pd

    columns = table.columns
    for name in text:
        if table.written and name in columns.columns and pd.api.types.is_numeric_dtype(columns[name]):
            columns = columns.assign(**{name: pd.Series(table.written(name), columns.index, dtype=object)})
    return columns


def _labelled(
    source: str, table: Table, target: str, text: Collection[str] = (), keep_unlabelled: bool = False
) -> Dataset:
    """Features and labels apart; to train on, rows without a label are left out."""
    import pandas as pd

    name = source if source in BUILT_IN else Path(source).name
    features, raw = _as_words(table, text), None if table.labels is None else pd.Series(table.labels)
    if raw is None and target in features.columns:
        raw, features = features[target], features.drop(columns=target)
    features = _flat(name, features, refuse=not keep_unlabelled)
    test = _labelled(source, table.test, target, text) if table.test else None
    dataset = Dataset(name, features, None, target, table.picture_shape, test)
    if raw is None:
        return dataset
    if features.shape[1] == 0:
        raise DataError(f"{name} has no column besides the target {target!r}; there is nothing to learn from")
    if not keep_unlabelled:
        _refuse_measurements(raw, target)
    cells = table.written(target) if table.written else list(raw.to_numpy())
    labels, notes = _as_labels(cells), _padded(cells, target)
    dataset, known = replace(dataset, labels=labels, notes=notes), labels != ""
    if keep_unlabelled or known.all():
        return dataset
    note = f"{int((~known).sum())} rows without a label in {target!r} left out"
    return replace(dataset.rows(np.flatnonzero(known)), test=test, notes=(*notes, note))


def _flat(name: str, features: pd.DataFrame, refuse: bool) -> pd.DataFrame:
    """The columns, one value a cell: lists and records within cells are refused, or written as text."""
    objects = [column for column, dtype in features.dtypes.items() if dtype == "object"]
    nested = [
        column for column in objects if any(issubclass(kind, NESTED) for kind in set(map(type, features[column])))
    ]
    if nested and refuse:
        raise DataError(
            f"{name}: column {nested[0]!r} holds lists or records; a column for each of their values is needed, or "
            f"--drop {nested[0]!r} leaves it out"
        )
    return features.assign(**{column: features[column].map(str) for column in nested}) if nested else features


def _padded(cells: Sequence[Any], target: str) -> tuple[str, ...]:
    """A sentence where labels have blanks around them."""
    count = sum(isinstance(cell, str) and cell != cell.strip() for cell in cells)
    return (f"blanks around {count} labels in {target!r} left out",) if count else ()


def _as_labels(cells: Sequence[Any]) -> npt.NDArray[np.object_]:
    """Labels as the text that the file has, without blanks around; a missing one as ""."""
    return np.array([_as_label(cell) for cell in cells], object)


def _as_label(cell: Any) -> str:
    """A cell as text: whole numbers exactly, 3.0 as "3", other fractions with the digits that tell them apart."""
    if isinstance(cell, float | np.floating):
        if np.isnan(cell):
            return ""
        return f"{cell:.0f}" if cell == np.round(cell) and np.isfinite(cell) else str(cell)
    if cell is None or type(cell).__name__ in {"NaTType", "NAType"}:
        return ""
    return cell.decode(errors="backslashreplace").strip() if isinstance(cell, bytes) else str(cell).strip()


def _refuse_measurements(column: pd.Series, target: str) -> None:
    """Numbers of which there are too many kinds to be classes."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return
    values = column.dropna().to_numpy()
    whole, distinct = bool(np.all(values == np.round(values))), len(np.unique(values))
    if distinct > (max(MOST_NUMBER_CLASSES, len(values) / 20) if whole else MOST_FLOAT_CLASSES):
        raise DataError(
            f"column {target!r} has {distinct} distinct numbers in {len(values)} rows and looks like a regression "
            "target; choose a column of classes with --target, or bin the numbers first"
        )


def _check_classes(dataset: Dataset) -> None:
    """A target needs two classes at least, and rows that share them."""
    classes, rows = dataset.classes, len(dataset.features)
    if len(classes) < 2:
        only = f"a single class, {classes[0]!r}" if classes else "no label at all"
        raise DataError(f"the target {dataset.target!r} has {only}; two are needed to tell apart")
    if len(classes) > max(2, rows / 2):
        raise DataError(
            f"the target {dataset.target!r} has {len(classes)} distinct values in {rows} rows, too many to be classes; "
            "choose a column of classes with --target"
        )


def _check_test(train: Dataset, test: Dataset) -> None:
    """A test part has labels, the training part's columns, and no class of its own."""
    if test.labels is None:
        raise DataError(f"{train.name} has a test part without labels; add y_test, or leave x_test out")
    if list(train.features.columns) != list(test.features.columns):
        raise DataError(
            f"{train.name}: {train.features.shape[1]} features a row to train on, {test.features.shape[1]} to test on"
        )
    unseen = sorted(set(test.classes) - set(train.classes))
    if unseen:
        raise DataError(f"{train.name}: in the test part only, never in training: class {named_list(unseen)}")
