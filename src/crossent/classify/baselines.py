"""What others reach on the same split: the most frequent class, logistic regression, boosting."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .paired import Difference, difference

__all__ = ["Baseline", "baselines", "verdict"]

Array = npt.NDArray[Any]

MOST_WORK = 2e9  # rows · inputs · classes · rounds, beyond which boosting learns from fewer rows


@dataclass(frozen=True)
class Baseline:
    """Another model on the held-out rows; `ahead` is how much more accurate this network is, row by row."""

    name: str
    accuracy: float
    loss: float
    seconds: float
    rows: int
    ahead: Difference


def baselines(
    x: Array, y: Array, x_held_out: Array, y_held_out: Array, right: npt.NDArray[np.bool_], seed: int
) -> list[Baseline]:
    """Train the baselines, and compare them with a network that was `right` on these held-out rows."""
    return [_trained(name, model, x, y, x_held_out, y_held_out, right) for name, model in _models(seed)]


def _models(seed: int) -> Sequence[tuple[str, Any]]:
    """The models, the simplest first."""
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    return [
        ("most frequent class", DummyClassifier(strategy="prior")),
        ("logistic regression", LogisticRegression(max_iter=300)),
        ("boosting (HistGradientBoosting)", HistGradientBoostingClassifier(random_state=seed, early_stopping=False)),
    ]


def _trained(
    name: str, model: Any, x: Array, y: Array, x_held_out: Array, y_held_out: Array, right: npt.NDArray[np.bool_]
) -> Baseline:
    """One baseline; of very large data it learns from the first rows of a shuffle, so that it takes seconds."""
    rounds = 100 if "boosting" in name else 10
    most = max(1000, int(MOST_WORK / (x.shape[1] * (y.max() + 1) * rounds)))
    some = np.random.default_rng(0).permutation(len(x))[:most] if len(x) > most else np.arange(len(x))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 300 steps were not enough: it is a baseline
        model.fit(x[some], y[some])
        probabilities = model.predict_proba(x_held_out)
    seconds = time.perf_counter() - start
    found = model.classes_[probabilities.argmax(axis=1)] == y_held_out
    of_target = np.zeros(len(y_held_out))
    for column, label in enumerate(model.classes_):
        of_target[y_held_out == label] = probabilities[y_held_out == label, column]
    loss = float(-np.log(np.maximum(of_target, 1e-15)).mean())
    return Baseline(name, float(found.mean()), loss, seconds, len(some), difference(right, found))


def verdict(found: Sequence[Baseline], accuracy: float, _: Callable[..., str] = str.format) -> str:
    """Who is best, by how much, and whether the rows can tell; `_` translates.

    Example:
        >>> verdict([Baseline("guess", 0.5, 0.7, 0.1, 10, Difference(0.4, 0.3, 0.5))], 0.9)
        'best: this network, ahead of guess by +40.0 points (95 % interval +30.0 to +50.0)'
    """
    best = max(found, key=lambda baseline: baseline.accuracy)
    ahead, name = best.ahead, _(best.name)
    if accuracy == best.accuracy:
        return _("best: this network and {name} are right as often", name=name)
    doubt = "" if ahead.sure else "; " + _("these rows do not tell them apart")
    if accuracy > best.accuracy:
        return _("best: this network, ahead of {name} by {by}", name=name, by=ahead.points(_)) + doubt
    behind = Difference(-ahead.value, -ahead.high, -ahead.low)
    return _("best: {name}, not this network; ahead of it by {by}", name=name, by=behind.points(_)) + doubt
