"""Rows of scores with their targets, checked: what cannot be scored is counted and said."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError, DtypeError, ProbabilityError, ShapeError

from .stored import Stored
from .tables import regrouped

__all__ = [
    "Faults",
    "as_indices",
    "check_kind",
    "check_shapes",
    "distributions",
    "in_step",
    "rows_in_range",
    "two_columns",
]

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]

FIRST = 5  # positions that a message names
SUM_TOLERANCE = 1e-2  # of probabilities that were stored in half precision


class Faults:
    """Rows that cannot be scored: counted, the first of them remembered."""

    def __init__(self, text: str) -> None:
        self.text, self.count = text, 0
        self.first: list[int] = []

    def add(self, wrong: npt.NDArray[np.bool_], start: int) -> None:
        """Note which rows of a block are wrong."""
        if wrong.any():
            self.count += int(wrong.sum())
            self.first += (np.flatnonzero(wrong)[: FIRST - len(self.first)] + start).tolist()

    def raise_if_any(self, path: object) -> None:
        """Say how many there are, and where."""
        if self.count:
            where = ", ".join(str(row + 1) for row in self.first) + (", …" if self.count > len(self.first) else "")
            kind = ProbabilityError if "probabilit" in self.text else DataError
            raise kind(f"{path}: {self.count} rows {self.text} (rows {where})")


def check_shapes(scores: Stored, targets: Stored) -> None:
    """Say what does not fit before a long pass; of a text file only the pass tells."""
    if scores.columns and targets.columns == scores.columns and targets.shape == scores.shape:
        raise ShapeError(
            f"{targets.path} has the shape of the scores, {targets.shape}; one class index a row is needed "
            "(argmax(axis=-1) turns one-hot rows into indices)"
        )
    if scores.rows is None or targets.rows is None:
        return
    count = targets.rows * max(1, targets.columns)
    if count != scores.rows:
        middle = len(scores.shape) > 2 and int(np.prod(scores.shape)) == count * scores.shape[1]
        hint = "; the classes have to be the last axis: np.moveaxis(scores, 1, -1)" if middle else ""
        raise ShapeError(
            f"{scores.path} has {scores.rows} rows (shape {scores.shape or '?'}) and {targets.path} {count} targets "
            f"(shape {targets.shape or '?'}); one target a row is needed{hint}"
        )


def in_step(*stored: Stored, size: int) -> Iterator[tuple[Array, ...]]:
    """Blocks of the same rows of several files; the first holds the targets, whatever its shape.

    Raises:
        ShapeError: one ends before another.
    """
    targets, *scores = stored
    flat = regrouped((block.reshape(-1) for block in targets.blocks(size)), size)
    done = 0
    for blocks in itertools.zip_longest(flat, *(one.blocks(size) for one in scores)):
        lengths = [0 if block is None else len(block) for block in blocks]
        if len(set(lengths)) > 1:
            shown = ", ".join(f"{one.path} {done + length}" for one, length in zip(stored, lengths, strict=True))
            raise ShapeError(f"the files have different numbers of rows: {shown} or more; one target a row is needed")
        yield blocks
        done += lengths[0]


def as_indices(targets: Array, names: list[str], start: int, stored: Stored) -> Indices:
    """Targets as class indices; words are found among the classes' names."""
    if targets.dtype == object:
        return _by_name(targets, names, start, stored)
    if targets.dtype.kind == "f":
        wrong = ~np.isfinite(targets) | (targets != np.round(targets))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DtypeError(
                f"{stored.path}: target {targets[row]} in row {start + row + 1} is no class index; whole numbers are"
            )
    if names and targets.dtype.kind in "iu" and _all_numbers(names):
        return _by_name(np.array([str(value) for value in targets], dtype=object), names, start, stored)
    return targets.astype(np.int64)


def _all_numbers(names: list[str]) -> bool:
    """Whether the classes are called by numbers: then a number is a name, and no place."""
    return all(name.lstrip("-").isdigit() for name in names)


def _by_name(targets: Array, names: list[str], start: int, stored: Stored) -> Indices:
    """The place of each word among the classes' names."""
    places = {name: place for place, name in enumerate(names)}
    indices = np.array([places.get(str(target), -1) for target in targets], np.int64)
    wrong = indices < 0
    if wrong.any():
        row = int(np.argmax(wrong))
        known = ", ".join(names[:8]) or "not named: the scores have no header"
        raise DataError(
            f"{stored.path}: target {str(targets[row])!r} in row {start + row + 1} is none of the classes ({known})"
        )
    return indices


def two_columns(scores: Array, probabilities: bool) -> Array:
    """Scores as a floating table, logits as one that may be written over: the one score of two classes becomes two."""
    wide = scores.dtype.kind != "f" or scores.dtype.itemsize > 4
    values = scores.astype(np.float64 if wide else np.float32, copy=not probabilities)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 1:
        values = np.stack([1 - values if probabilities else np.zeros_like(values), values], axis=1)
    return np.asarray(values)


def check_kind(scores: Array, probabilities: bool | None, stored: Stored) -> bool:
    """Whether the scores are probabilities; where that was not said and they look so, the user has to say it."""
    if probabilities is not None:
        return probabilities
    first = scores[:1000]
    if first.ndim == 2 and first.shape[1] > 1:
        alike = bool(np.all(first >= 0)) and np.allclose(first.sum(axis=1, dtype=np.float64), 1, rtol=0, atol=1e-3)
    else:
        alike = bool(np.all((first >= 0) & (first <= 1)))
    if alike:
        raise ProbabilityError(
            f"{stored.path}: the rows look like probabilities; say --from-probs if they are, --from-logits if not"
        )
    return False


def rows_in_range(
    targets: Indices, classes: int, ignore_index: int, fault: Faults, start: int
) -> npt.NDArray[np.bool_]:
    """Which rows count: those whose target is a class."""
    ignored = targets == ignore_index
    outside = ~ignored & ((targets < 0) | (targets >= classes))
    fault.add(outside, start)
    return np.asarray(~(ignored | outside))


def distributions(scores: Array, faults: dict[str, Faults], start: int) -> npt.NDArray[np.bool_]:
    """Which rows are probability distributions."""
    sums, least = scores.sum(axis=1), scores.min(axis=1)
    broken = np.isnan(sums)
    faults["nan"].add(broken, start)
    wrong = ~broken & ~((np.abs(sums - 1) <= SUM_TOLERANCE) & (least >= 0))
    faults["probabilities"].add(wrong, start)
    return np.asarray(~(broken | wrong))
