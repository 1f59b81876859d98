"""Sums over the rows of predictions: all that the scores are made of, a block at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.classify.calibration import Reliability
from crossent.losses import cross_entropy_with_grad

__all__ = ["BINS", "RowScores", "Totals", "score_block"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

BINS = 15
GROUPS = 1 << 11  # the bootstrap draws rows, or groups of neighbours where there are more


@dataclass(frozen=True)
class RowScores:
    """Of each row of a block: loss, prediction, confidence, Brier score, and how many classes rank above the target."""

    loss: Floats
    prediction: npt.NDArray[np.int64]
    confidence: Floats
    brier: Floats
    rank: npt.NDArray[np.int64]

    def only(self, rows: npt.NDArray[np.bool_]) -> RowScores:
        """These rows alone."""
        return RowScores(*(getattr(self, field.name)[rows] for field in fields(self)))


def score_block(scores: Array, targets: npt.NDArray[np.int64], probabilities: bool) -> RowScores:
    """Score a block of rows, (rows, classes); logits are written over. A row of NaN or +infinity has a loss of NaN.

    With g = p − one-hot(target), the derivative of the loss, the Brier score is Σ g² = Σ p² − 2·p(target) + 1.
    """
    rows = np.arange(len(targets))
    prediction = np.argmax(scores, axis=1)
    right = prediction == targets
    rank = _ranks(scores, targets, right)
    if probabilities:
        of_target = scores[rows, targets].astype(np.float64)
        with np.errstate(divide="ignore"):  # a probability of 0 has an infinite loss
            loss = -np.log(of_target)
        confidence = scores[rows, prediction].astype(np.float64)
        return RowScores(loss, prediction, confidence, np.vecdot(scores, scores) - 2 * of_target + 1, rank)
    loss, gradient = cross_entropy_with_grad(scores, targets, reduction="none", check=False, inplace=True)
    confidence = gradient[rows, prediction].astype(np.float64) + right
    brier = np.vecdot(gradient, gradient).astype(np.float64)
    return RowScores(np.asarray(loss, np.float64), prediction, confidence, brier, rank)


def _ranks(scores: Array, targets: npt.NDArray[np.int64], right: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many classes rank above the target; looked at where the prediction is wrong."""
    rank = np.zeros(len(targets), np.int64)
    wrong = np.flatnonzero(~right)
    some = scores if len(wrong) * 2 > len(targets) else scores[wrong]
    of_target = scores[np.arange(len(targets)), targets][:, None]
    above = np.count_nonzero(some > (of_target if some is scores else of_target[wrong]), axis=1)
    rank[wrong] = np.maximum(1, above[wrong] if some is scores else above)  # a tie that another class wins
    return rank


@dataclass
class Groups:
    """Sums over rows, or over groups of neighbouring rows so that there are never more than `GROUPS` of them."""

    size: int = 1
    sums: list[Floats] = field(default_factory=list)
    rest: Floats | None = None

    def add(self, values: Floats) -> None:
        """Add rows of values, the last column 1 for each row."""
        values = values if self.rest is None else np.concatenate([self.rest, values])
        whole = len(values) // self.size * self.size
        self.sums.append(values[:whole].reshape(-1, self.size, values.shape[1]).sum(axis=1))
        self.rest = values[whole:]
        if sum(map(len, self.sums)) > 2 * GROUPS:
            self._merge()

    def _merge(self) -> None:
        """Join neighbours in pairs."""
        sums = np.concatenate(self.sums)
        even = len(sums) // 2 * 2
        left = [] if even == len(sums) else [sums[even:]]
        self.sums = [sums[:even].reshape(-1, 2, sums.shape[1]).sum(axis=1), *left]
        self.size *= 2

    def table(self) -> Floats:
        """All groups, one a row."""
        rest = [] if self.rest is None or not len(self.rest) else [self.rest.sum(axis=0, keepdims=True)]
        return np.concatenate([*self.sums, *rest])


class Totals:
    """The sums; `add` a block, then read."""

    def __init__(self, classes: int, top: int) -> None:
        self.top = min(top, classes)
        self.rows = self.ignored = 0
        self.support, self.predicted, self.hits = (np.zeros(classes, np.int64) for _ in range(3))
        self.class_loss = np.zeros(classes)
        self.bin_counts, self.bin_right = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
        self.bin_confidence = np.zeros(BINS)
        self.groups = Groups()  # loss, right, among the top, Brier, rows

    def add(self, block: RowScores, targets: npt.NDArray[np.int64]) -> None:
        """Add the rows of a block."""
        classes = len(self.support)
        right = block.prediction == targets
        self.rows += len(targets)
        self.support += np.bincount(targets, minlength=classes)
        self.predicted += np.bincount(block.prediction, minlength=classes)
        self.hits += np.bincount(targets[right], minlength=classes)
        self.class_loss += np.bincount(targets, weights=block.loss, minlength=classes)
        which = np.clip(np.ceil(block.confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        self.bin_counts += np.bincount(which, minlength=BINS)
        self.bin_right += np.bincount(which[right], minlength=BINS)
        self.bin_confidence += np.bincount(which, weights=block.confidence, minlength=BINS)
        values = [block.loss, right, block.rank < self.top, block.brier, np.ones(len(targets))]
        self.groups.add(np.stack([np.asarray(value, np.float64) for value in values], axis=1))

    def reliability(self) -> Reliability:
        """The calibration table."""
        with np.errstate(invalid="ignore"):  # an empty bin has no mean
            confidence, accuracy = self.bin_confidence / self.bin_counts, self.bin_right / self.bin_counts
        return Reliability(np.linspace(0, 1, BINS + 1), self.bin_counts, confidence, accuracy)
