"""Which columns a network's predictions hang on: permutation importance, partial dependence, occlusion of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import preprocessing
from .columns import DATE_PARTS, as_numbers, as_text
from .paired import Difference, mean_interval

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer

__all__ = ["Dependence", "Importance", "dependence", "importance", "inputs_of", "occlusion"]

Array = npt.NDArray[Any]
Probabilities = Callable[[Array], npt.NDArray[np.float64]]

SHUFFLES = 5
MOST_ROWS, MOST_COLUMNS, MOST_STEPS, MOST_DRAWN = 2000, 200, 20, 6


@dataclass(frozen=True)
class Importance:
    """A column, and by how much the held-out loss rises when its values are shuffled among the rows."""

    name: str
    rise: Difference


@dataclass(frozen=True)
class Dependence:
    """A column's values, and the mean probability of each class (a row a value) where every row has that value."""

    name: str
    values: list[Any]
    probabilities: npt.NDArray[np.float64]


def inputs_of(transformer: ColumnTransformer) -> dict[str, npt.NDArray[np.int64]]:
    """Which of the network's inputs each column of the table has become."""
    found: dict[str, npt.NDArray[np.int64]] = {}
    for step, _, _ in transformer.transformers:
        place = transformer.output_indices_[step]
        names = preprocessing.sources_of(transformer, step)
        for name, width in zip(names, _widths(transformer, step, len(names)), strict=True):
            found[name] = np.arange(place.start, place.start + width)
            place = slice(place.start + width, place.stop)
    return found


def _widths(transformer: ColumnTransformer, step: str, columns: int) -> list[int]:
    """How many inputs each column of a step has become."""
    kind, place = step.split(" ", maxsplit=1)[0], transformer.output_indices_[step]
    if kind == "prose":
        return [place.stop - place.start]
    if kind == "text":
        one_hot = transformer.named_transformers_[step].named_steps["one-hot"]
        names = one_hot.get_feature_names_out([str(column) for column in range(columns)])
        counts: list[int] = (
            np.bincount([int(name.split("_")[0]) for name in names], minlength=columns).astype(int).tolist()
        )
        return counts
    return [len(DATE_PARTS) if kind == "dates" else 1] * columns


def importance(
    probabilities: Probabilities, transformer: ColumnTransformer, x: Array, y: npt.NDArray[np.int64], seed: int = 0
) -> list[Importance]:
    """Shuffle each column among the held-out rows, and see by how much the loss rises; the most important first.

    Source: Breiman, "Random Forests", 2001, section 10.
    """
    random = np.random.default_rng(seed)
    x, y = x[:MOST_ROWS], y[:MOST_ROWS]
    before = _losses(probabilities(x), y)
    found = []
    for name, inputs in list(inputs_of(transformer).items())[:MOST_COLUMNS]:
        rise = np.zeros(len(y))
        for _ in range(SHUFFLES):
            shuffled = x.copy()
            shuffled[:, inputs] = x[random.permutation(len(x))][:, inputs]
            rise += (_losses(probabilities(shuffled), y) - before) / SHUFFLES
        found.append(Importance(name, mean_interval(rise, seed)))
    return sorted(found, key=lambda column: -column.rise.value)


def _losses(probabilities: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each row's loss."""
    return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(y)), y], 1e-15)))


def dependence(
    probabilities: Probabilities,
    transformer: ColumnTransformer,
    features: pd.DataFrame,
    x: Array,
    name: str,
    kind: str,
) -> Dependence | None:
    """The mean prediction over the rows if all had the same value in a column, for values that it has.

    Args:
        probabilities: of the network's inputs.
        transformer: from the table to these inputs.
        features: the rows as they were read.
        x: their inputs.
        name: of the column.
        kind: of it; only numbers and text have values to go through.

    Source: Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", 2001, section 8.2.
    """
    if kind == "numbers":
        known = as_numbers(features[name]).dropna().to_numpy()
        values: list[Any] = np.unique(np.quantile(known, np.linspace(0.02, 0.98, MOST_STEPS))).tolist()
    elif kind == "text":
        values = as_text(features[name]).dropna().value_counts().index[:MOST_DRAWN].tolist()
    else:
        return None
    if len(values) < 2:
        return None
    inputs = inputs_of(transformer)[name]
    told = features.iloc[np.arange(len(values)) % len(features)].assign(**{name: values})  # other columns: whatever
    means = []
    for row in preprocessing.transform(transformer, told)[:, inputs]:
        rows = x[: MOST_ROWS // 4].copy()
        rows[:, inputs] = row
        means.append(probabilities(rows).mean(axis=0))
    return Dependence(name, values, np.array(means))


def occlusion(probabilities: Probabilities, transformer: ColumnTransformer, x: Array) -> dict[str, Array]:
    """By how much the predicted class's probability falls if a column had its median value, or none of its texts.

    Returns:
        For each column the fall of every row: (rows,). A column that speaks for another class has a negative one.

    Source: Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", 2014 (occlusion).
    """
    before = probabilities(x)
    predicted, rows = before.argmax(axis=1), np.arange(len(x))
    usual = _usual(transformer, x.shape[1])
    falls = {}
    for name, inputs in inputs_of(transformer).items():
        without = x.copy()
        without[:, inputs] = usual[inputs]
        falls[name] = before[rows, predicted] - probabilities(without)[rows, predicted]
    return falls


def _usual(transformer: ColumnTransformer, inputs: int) -> Array:
    """The inputs of a row that says nothing: the median of each number, no text."""
    usual = np.zeros(inputs, np.float32)
    for step, _, _ in transformer.transformers:
        if step.split(" ")[0] in {"numbers", "dates"}:
            steps = transformer.named_transformers_[step].named_steps
            medians = np.nan_to_num(steps["imputer"].statistics_)[None]
            usual[transformer.output_indices_[step]] = steps["scaler"].transform(medians)[0]
    return usual
