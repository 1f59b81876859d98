"""Calibration: does a probability of 0.8 come true eight times in ten, and the one number that mends it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crossent.errors import ClassIndexError, DtypeError, OptionError, ProbabilityError, ShapeError

__all__ = ["Reliability", "apply_temperature", "expected_calibration_error", "fit_temperature", "reliability"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

COLDEST, HOTTEST = 0.05, 20.0  # beyond these, probabilities are all but 0/1 or all but uniform


class Reliability(NamedTuple):
    """One bin a row: its edges in confidence, how many predictions fell in, their mean confidence and their accuracy.

    `confidence` and `accuracy` are NaN where a bin is empty.
    """

    edges: Floats
    counts: Labels
    confidence: Floats
    accuracy: Floats

    @property
    def error(self) -> float:
        """ECE = Σ_b (n_b / n) · |accuracy_b − confidence_b|."""
        filled = self.counts > 0
        gap = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float(np.sum(self.counts[filled] * gap) / np.sum(self.counts))


def reliability(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 15) -> Reliability:
    """Group predictions by confidence into bins of equal width and compare confidence with accuracy in each.

    A row's confidence is its highest probability; bin b of B holds the confidences in (b/B, (b+1)/B], the first also 0.

    Args:
        probabilities: (rows, classes), or (rows,) the probability of class 1 of two.
        labels: (rows,) class indices, any integer dtype.
        bins: how many bins divide [0, 1].

    Raises:
        ShapeError, DtypeError, ProbabilityError, ClassIndexError, OptionError: what does not fit, and the fix.

    Example:
        >>> reliability([[0.9, 0.1], [0.8, 0.2]], [0, 1], bins=2).accuracy
        array([nan, 0.5])

    Source: Niculescu-Mizil & Caruana, "Predicting Good Probabilities with Supervised Learning", ICML 2005.
    """
    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
        raise OptionError(f"bins is {bins!r}; it must be a whole number of at least 1")
    columns = _checked_probabilities(probabilities)
    indices = _checked_labels(labels, columns.shape)
    confidence = columns.max(axis=1)
    right = columns.argmax(axis=1) == indices
    edges = np.linspace(0.0, 1.0, int(bins) + 1)
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean: 0/0 is the NaN that is promised
        means = [np.bincount(which, weights=values, minlength=bins) / count for values in (confidence, right)]
    return Reliability(edges, count, means[0], means[1])


def expected_calibration_error(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, over bins of equal width.

    ECE = Σ_b (n_b / n) · |accuracy_b − confidence_b|, between 0 (calibrated) and 1. It is a biased estimate: with few
    rows even a perfectly calibrated model does not reach 0.

    Args:
        probabilities: (rows, classes), or (rows,) the probability of class 1 of two.
        labels: (rows,) class indices, any integer dtype.
        bins: how many bins of equal width divide [0, 1]; 15 as in the paper.

    Raises:
        ShapeError, DtypeError, ProbabilityError, ClassIndexError, OptionError: what does not fit, and the fix.

    Example:
        >>> round(expected_calibration_error([[0.9, 0.1], [0.8, 0.2]], [0, 1]), 3)  # (0.1 + 0.8) / 2
        0.45

    Source: Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
    """
    return reliability(probabilities, labels, bins).error


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Fit the one temperature T that makes softmax(z / T) fit the labels best, by the negative log-likelihood.

    T = argmin mean_i CE(z_i / T, y_i). T > 1 softens an overconfident model, T < 1 sharpens a timid one; no prediction
    changes. Fit it on rows that the model was not trained on. Where every row is right already, the likelihood
    grows without end as T → 0 and the answer is 1.0: leave it as it is. Otherwise 0.05 ≤ T ≤ 20.

    Args:
        logits: (rows, classes), or (rows,) / (rows, 1) the one logit of a two-class model.
        labels: (rows,) class indices, any integer dtype.

    Raises:
        ShapeError, DtypeError, ClassIndexError, ProbabilityError: what does not fit; a logit that is not finite.

    Example:
        >>> import numpy as np
        >>> logits = np.log([[0.75, 0.25]] * 4)               # calibrated: right three times in four
        >>> round(fit_temperature(logits * 3, [0, 0, 0, 1]), 3)  # three times too sure of itself
        3.0

    Source: Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    from crossent.losses import cross_entropy

    columns = as_columns(np.asarray(logits), "logits")
    if not np.isfinite(columns).all():
        raise ProbabilityError("logits hold NaN or infinity; a temperature needs finite logits")
    indices = _checked_labels(labels, columns.shape)
    if np.all(columns.argmax(axis=1) == indices):
        return 1.0

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(cross_entropy(columns, indices, temperature=float(np.exp(log_temperature)), check=False))

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x))


def apply_temperature(logits: npt.ArrayLike, temperature: float) -> Floats:
    """Probabilities at a temperature: softmax(z / T), one column a class, in float64.

    Args:
        logits: (rows, classes), or (rows,) / (rows, 1) the one logit of a two-class model.
        temperature: T > 0.

    Example:
        >>> apply_temperature([0.0], 2.0)
        array([[0.5, 0.5]])
    """
    from crossent.softmax import softmax

    return np.asarray(softmax(as_columns(np.asarray(logits), "logits"), axis=1, temperature=temperature))


def as_columns(values: npt.NDArray[Any], name: str = "logits") -> Floats:
    """Rows × classes in float64; the single logit z of a two-class model becomes the logits (0, z)."""
    if values.dtype.kind not in "fiu":
        raise DtypeError(f"{name} are of dtype {values.dtype}; real numbers are needed")
    values = values.astype(np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 1:
        other = np.zeros_like(values) if name == "logits" else 1.0 - values
        values = np.stack([other, values], axis=1)
    if values.ndim != 2 or values.shape[0] == 0:
        raise ShapeError(f"{name} have shape {values.shape}; (rows, classes) with at least one row is needed")
    return values


def _checked_probabilities(probabilities: npt.ArrayLike) -> Floats:
    """Rows that are probability distributions, or an error that says which is not."""
    columns = as_columns(np.asarray(probabilities), "probabilities")
    wrong = ~((columns >= 0).all(axis=1) & np.isclose(columns.sum(axis=1), 1.0, rtol=0, atol=1e-3))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ProbabilityError(
            f"row {row} is not a probability distribution: it sums to {columns[row].sum():.6g}, its smallest value is "
            f"{columns[row].min():.6g}; give softmax(logits), not logits"
        )
    return columns


def _checked_labels(labels: npt.ArrayLike, shape: tuple[int, ...]) -> Labels:
    """Class indices, one a row and each in range."""
    indices = np.asarray(labels)
    rows, classes = shape
    if indices.dtype.kind not in "iub":
        raise DtypeError(f"labels are of dtype {indices.dtype}; integer class indices are needed")
    if indices.shape != (rows,):
        raise ShapeError(f"labels have shape {indices.shape}; ({rows},), one class index a row, is needed")
    wrong = (indices < 0) | (indices >= classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ClassIndexError(f"label {indices[row]} at row {row} is outside 0 … {classes - 1}")
    return indices.astype(np.int64)
