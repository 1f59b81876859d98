"""What ruins a model: found in the data before it is trained, and said."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .columns import as_numbers, as_text
from .data import Dataset, encode, named_list
from .preprocessing import columns_of, transform

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer

__all__ = ["cautions"]

Labels = npt.NDArray[np.int64]

ID = re.compile(r"(^|[ _.-])(id|ID|Id|index|Index|nr|no|No|number|Number)$|[a-z](Id|ID)$")
TELLS = 0.999  # the accuracy from which a single column tells too much
FEWEST_ROWS = 20  # of fewer held-out rows, chance may tell as much
FEWEST_VALUES = 20  # in no column as many: rows are the same by chance
RARE = 5  # a class of fewer rows is hardly learned
MOST_ROWS = 20_000  # looked at, for one column's stump


def cautions(train: Dataset, held_out: Dataset, transformer: ColumnTransformer) -> list[str]:
    """A sentence on each thing in the data that ruins a model or its figures.

    Columns that tell the label alone, or number the rows; labels and texts that differ in their case alone; rows that
    are in both parts; rare classes.
    """
    columns = columns_of(transformer)
    said = _rare(train, held_out) + _alike("labels", train.classes)
    for name in columns.get("text", []):
        said += _alike(f"values of column {name!r}", sorted(set(as_text(train.features[name]).dropna())))
    if "pixels" not in columns:
        said += [_numbers_rows(name, train) for name in columns.get("numbers", [])]
        said += _telling(train, held_out, columns)
    return [sentence for sentence in [*said, _in_both(train, held_out, transformer)] if sentence]


def _rare(train: Dataset, held_out: Dataset) -> list[str]:
    """Classes of a few rows, and those of which none is held out."""
    counts = Counter(train.labels if train.labels is not None else [])
    measured = set(held_out.classes)
    said = []
    single = [name for name in train.classes if name not in measured]
    if single:
        said.append(f"rare classes: {_classes(single)} of no held-out row, so how well it is learned is not measured")
    rare = [name for name in train.classes if counts[name] < RARE and name in measured]
    if rare:
        shown = ", ".join(f"{name!r} ({counts[name]})" for name in rare[:5]) + (", …" if len(rare) > 5 else "")
        said.append(f"rare classes: fewer than {RARE} rows to learn from: {shown}")
    return said


def _classes(names: list[str]) -> str:
    """Classes by their names."""
    return f"{'class' if len(names) == 1 else 'classes'} {named_list(names, 5)}"


def _alike(what: str, texts: list[str]) -> list[str]:
    """Texts that are the same but for upper and lower case, or blanks."""
    groups: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        groups[" ".join(text.split()).casefold()].append(text)
    found = [group for group in groups.values() if len(group) > 1]
    shown = "; ".join(" and ".join(map(repr, group[:3])) for group in found[:3]) + ("; …" if len(found) > 3 else "")
    return [f"{what} that differ only in upper and lower case: {shown}; they count as different"] if found else []


def _numbers_rows(name: str, train: Dataset) -> str:
    """Whether a column only numbers the rows."""
    values = as_numbers(train.features[name]).to_numpy()
    rows = len(values)
    if rows < FEWEST_ROWS or not np.all(np.isfinite(values)) or not np.all(values == np.round(values)):
        return ""
    in_order = bool(np.all(np.diff(values) > 0))
    by_name = len(np.unique(values)) == rows and bool(ID.search(name))
    if not in_order and not by_name:
        return ""
    return f"column {name!r} numbers the rows, as an id does; a network may learn it by heart: --drop {name!r}"


def _telling(train: Dataset, held_out: Dataset, columns: dict[str, list[str]]) -> list[str]:
    """Columns that tell the held-out labels alone, by a tree with a leaf a class."""
    if len(held_out.features) < FEWEST_ROWS:
        return []
    classes = train.classes
    y, y_held_out = (encode(np.asarray(part.labels), classes)[:MOST_ROWS] for part in (train, held_out))
    if np.bincount(y_held_out).max() / len(y_held_out) >= TELLS:
        return []
    said = []
    for kind in ("numbers", "text"):
        for name in columns.get(kind, []):
            x, x_held_out = (_values(part.features[name].iloc[:MOST_ROWS], kind) for part in (train, held_out))
            accuracy = (
                _by_value(x, x_held_out, y, y_held_out) if kind == "text" else _by_stump(x, x_held_out, y, y_held_out)
            )
            if accuracy >= TELLS:
                said.append(
                    f"column {name!r} alone tells the label of {accuracy:.1%} of the held-out rows: a leak? If it is "
                    f"not known before the label, --drop {name!r}"
                )
    return said


def _values(column: pd.Series, kind: str) -> Any:
    """One column as a stump takes it."""
    if kind == "text":
        return as_text(column).fillna("").tolist()
    return as_numbers(column).fillna(np.inf).clip(-1e30, 1e30).to_numpy()[:, None]


def _by_value(x: Any, x_held_out: Any, y: Labels, y_held_out: Labels) -> float:
    """The accuracy of saying, for each value, the class that it had most often."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for value, label in zip(x, y.tolist(), strict=True):
        counts[value][label] += 1
    best = {value: count.most_common(1)[0][0] for value, count in counts.items()}
    return float(np.mean([best.get(value, -1) == label for value, label in zip(x_held_out, y_held_out, strict=True)]))


def _by_stump(x: Any, x_held_out: Any, y: Labels, y_held_out: Labels) -> float:
    """The accuracy of a tree on one column with no more leaves than two a class."""
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=2 * int(y.max() + 1), random_state=0).fit(x, y)
    return float(min(tree.score(x, y), tree.score(x_held_out, y_held_out)))


def _in_both(train: Dataset, held_out: Dataset, transformer: ColumnTransformer) -> str:
    """How many held-out rows have a twin among the training rows; not where few values make twins likely."""
    if max(train.features[name].astype(str).nunique() for name in train.features) < FEWEST_VALUES:
        return ""
    seen = {row.tobytes() for row in transform(transformer, train.features)}
    twins = sum(row.tobytes() in seen for row in transform(transformer, held_out.features))
    if not twins:
        return ""
    return (
        f"{twins} of {len(held_out.features)} held-out rows are there in training too, value by value: rows that occur "
        "twice make the figures better than new rows would"
    )
