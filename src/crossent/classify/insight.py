"""What a run shows besides its own figures: what others reach, and which columns the predictions hang on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import preprocessing
from .baselines import Baseline, baselines, verdict
from .influence import Dependence, Importance, dependence, importance

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer

__all__ = ["Insight", "look"]

Array = npt.NDArray[Any]

MOST_DEPENDENCES = 3


@dataclass(frozen=True)
class Insight:
    """The baselines, the columns by importance, and how the prediction depends on the first of them."""

    baselines: Sequence[Baseline] = ()
    importances: Sequence[Importance] = ()
    dependences: Sequence[Dependence] = ()

    def verdict(self, accuracy: float, _: Callable[..., str] = str.format) -> str:
        """Who is best; nothing where no baseline was trained."""
        return verdict(self.baselines, accuracy, _) if self.baselines else ""

    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds of it."""
        return {
            "baselines": [
                {**dataclasses.asdict(baseline), "ahead": baseline.ahead._asdict()} for baseline in self.baselines
            ],
            "importance": {found.name: found.rise._asdict() for found in self.importances},
        }


def look(
    probabilities: Callable[[Array], npt.NDArray[np.float64]],
    transformer: ColumnTransformer,
    parts: tuple[Array, Array, Array, Array],
    features: pd.DataFrame,
    *,
    right: npt.NDArray[np.bool_],
    seed: int,
    beside: bool,
) -> Insight:
    """Train the baselines (`beside`) and look at the columns.

    Args:
        probabilities: of the network's inputs.
        transformer: from the table to these inputs.
        parts: inputs and class indices to train on, and held out.
        features: the held-out rows as they were read.
        right: which of them the network has right.
        seed: of boosting and the shuffles.
        beside: whether to train the baselines.
    """
    x, y, x_held_out, y_held_out = parts
    others = baselines(x, y, x_held_out, y_held_out, right, seed) if beside else []
    kinds = {name: kind for kind, names in preprocessing.columns_of(transformer).items() for name in names}
    if "pixels" in kinds.values():
        return Insight(others)
    found = importance(probabilities, transformer, x_held_out, y_held_out, seed)
    curves = [
        dependence(probabilities, transformer, features, x_held_out, column.name, kinds[column.name])
        for column in found[:MOST_DEPENDENCES]
    ]
    return Insight(others, found, [curve for curve in curves if curve is not None])
