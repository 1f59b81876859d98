"""What the held-out rows say about a classifier: accuracy, calibration, per-class scores, the greatest surprises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .calibration import Reliability, apply_temperature, as_columns, fit_temperature, reliability

__all__ = ["ClassScore", "Evaluation", "evaluate"]

Floats = npt.NDArray[np.float64]

FEWEST_TO_CALIBRATE = 20  # held-out rows; with fewer, a temperature would be fitted to noise
FOLDS = 5


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall, F1 and number of rows of one class; precision is NaN where the class was never predicted."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """A classifier on its held-out rows.

    `loss` is the mean cross-entropy of all of them, before calibration, and `before` their reliability. For `after` and
    `loss_after` each fifth of the rows is calibrated by a temperature fitted on the other four: no row by one that has
    seen it. `temperature` is fitted on all of them; it is 1 where that does not lower the loss (`calibrated` is False),
    or where there are too few rows (`after` is None). `probabilities` (rows, classes) and `row_loss` (rows,) are at
    that temperature.
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: Floats
    row_loss: Floats
    accuracy: float
    accuracy_interval: tuple[float, float]
    baseline: float
    loss: float
    temperature: float
    fitted_temperature: float
    before: Reliability
    after: Reliability | None
    loss_after: float
    confusion: npt.NDArray[np.int64]
    scores: tuple[ClassScore, ...]

    @property
    def calibrated(self) -> bool:
        """Whether a temperature lowers the loss of rows that it was not fitted on, and so is used."""
        return self.after is not None and self.loss_after < self.loss

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """The most probable class of each row."""
        return np.asarray(np.argmax(self.probabilities, axis=1), dtype=np.int64)

    def surprises(self, most: int) -> npt.NDArray[np.int64]:
        """The rows of highest loss, the most surprising first."""
        return np.argsort(-self.row_loss, kind="stable")[:most]

    def metrics(self) -> dict[str, Any]:
        """What a run's metrics.json holds of it."""
        return {
            "held_out_rows": len(self.labels),
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.accuracy_interval),
            "accuracy_of_most_frequent_class": self.baseline,
            "loss": self.loss,
            "temperature": self.temperature,
            "calibration": {
                "bins": len(self.before.counts),
                "folds": FOLDS if self.after else 0,
                "calibrated": self.calibrated,
                "fitted_temperature": self.fitted_temperature,
                "expected_calibration_error_before": self.before.error,
                "expected_calibration_error_after": self.after.error if self.after else None,
                "loss_before": self.loss,
                "loss_after": self.loss_after,
            },
            "classes": {
                score.label: {
                    "precision": None if np.isnan(score.precision) else score.precision,
                    "recall": None if np.isnan(score.recall) else score.recall,
                    "f1": None if np.isnan(score.f1) else score.f1,
                    "support": score.support,
                }
                for score in self.scores
            },
            "confusion_matrix": self.confusion.tolist(),
        }


def evaluate(logits: npt.ArrayLike, labels: npt.NDArray[np.int64], classes: Sequence[str], seed: int = 0) -> Evaluation:
    """Evaluate held-out logits: find the temperature, cross-validate it, and score the classes.

    Args:
        logits: (rows, classes), or (rows, 1) for two classes.
        labels: (rows,) class indices.
        classes: the name of each class.
        seed: of the split into folds.

    Example:
        >>> import numpy as np
        >>> result = evaluate(np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.array([0, 1, 1]), ["no", "yes"])
        >>> round(result.accuracy, 3), result.temperature, result.confusion.tolist()
        (0.667, 1.0, [[1, 0], [1, 1]])
    """
    from scipy.stats import binomtest
    from sklearn.metrics import confusion_matrix

    columns = as_columns(np.asarray(logits))
    plain = apply_temperature(columns, 1.0)
    loss, before = float(_losses(columns, labels, 1.0).mean()), reliability(plain, labels)
    fitted, after, loss_after = _cross_validated(columns, labels, seed)
    temperature = fitted if after is not None and loss_after < loss else 1.0
    right = int(np.sum(plain.argmax(axis=1) == labels))
    interval = binomtest(right, len(labels)).proportion_ci(method="wilson")
    confusion = confusion_matrix(labels, plain.argmax(axis=1), labels=np.arange(len(classes)))
    return Evaluation(
        classes=tuple(classes),
        labels=labels,
        probabilities=apply_temperature(columns, temperature),
        row_loss=_losses(columns, labels, temperature),
        accuracy=right / len(labels),
        accuracy_interval=(float(interval.low), float(interval.high)),
        baseline=float(np.bincount(labels).max() / len(labels)),
        loss=loss,
        temperature=temperature,
        fitted_temperature=fitted,
        before=before,
        after=after,
        loss_after=loss_after,
        confusion=confusion,
        scores=_scores(confusion, classes),
    )


def _cross_validated(
    logits: Floats, labels: npt.NDArray[np.int64], seed: int
) -> tuple[float, Reliability | None, float]:
    """The temperature fitted on all rows; reliability and loss with each fold at the temperature of the others."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if len(labels) < FEWEST_TO_CALIBRATE:
        return 1.0, None, float(_losses(logits, labels, 1.0).mean())
    alike = np.unique(labels, return_counts=True)[1].min() >= FOLDS
    folds = (StratifiedKFold if alike else KFold)(FOLDS, shuffle=True, random_state=seed)
    scaled = np.empty_like(logits)
    for others, fold in folds.split(logits, labels):
        scaled[fold] = logits[fold] / fit_temperature(logits[others], labels[others])
    table = reliability(apply_temperature(scaled, 1.0), labels)
    return fit_temperature(logits, labels), table, float(_losses(scaled, labels, 1.0).mean())


def _losses(logits: Floats, labels: npt.NDArray[np.int64], temperature: float) -> Floats:
    """The cross-entropy of each row."""
    from crossent.losses import cross_entropy

    return np.asarray(cross_entropy(logits, labels, temperature=temperature, reduction="none", check=False))


def _scores(confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> tuple[ClassScore, ...]:
    """Precision TP/(TP+FP), recall TP/(TP+FN) and F1 of every class, from the confusion matrix."""
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0/0: never predicted, or not in the held-out part
        precision, recall, f1 = hits / predicted, hits / support, 2 * hits / (predicted + support)
    rows = zip(classes, precision, recall, f1, support, strict=True)
    return tuple(ClassScore(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in rows)
