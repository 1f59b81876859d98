"""Score predictions from files: one pass, and what came of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.classify.calibration import COLDEST, HOTTEST, Reliability
from crossent.errors import DataError

from .files import open_stored
from .rows import Faults, as_indices, check_kind, check_shapes, distributions, in_step, rows_in_range, two_columns
from .stored import Stored
from .totals import Groups, RowScores, Totals, score_block

__all__ = ["Comparison", "Interval", "Scores", "score_files"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

DRAWS = 1000
SAMPLE_VALUES, SAMPLE_ROWS = 1 << 20, 256  # what the temperature is fitted on, at most, and at least


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval by the bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Another model on the same rows, and first minus other with a paired interval."""

    scores: Scores
    loss: Interval
    accuracy: Interval


@dataclass(frozen=True)
class Scores:
    """What predictions are worth. Losses in nats; `temperature` is None where every row is right or none is finite.

    `class_*` hold one entry a class. `sampled` rows were used to find the temperature, at which they lose
    `loss_at_temperature` instead of `loss_of_sample`.
    """

    source: str
    probabilities: bool
    rows: int
    ignored: int
    names: list[str]
    loss: Interval
    accuracy: Interval
    top: int
    top_accuracy: Interval
    brier: Interval
    reliability: Reliability
    impossible: int
    temperature: float | None
    sampled: int
    loss_of_sample: float
    loss_at_temperature: float
    support: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    hits: npt.NDArray[np.int64]
    class_loss: Floats
    comparison: Comparison | None = None

    @property
    def perplexity(self) -> Interval:
        """exp of the mean loss."""
        return Interval(*(math.exp(min(value, 700)) for value in (self.loss.value, self.loss.low, self.loss.high)))

    def bits_per_byte(self, size: int) -> float:
        """The loss of all rows in bits, over the bytes of the text that they are."""
        return self.loss.value * self.rows / math.log(2) / size


def score_files(
    scores: str,
    targets: str,
    *,
    probabilities: bool | None = None,
    other: str | None = None,
    top: int = 5,
    ignore_index: int = -100,
    on_rows: Callable[[int, int | None], object] = lambda *_: None,
) -> Scores:
    """Score predictions in a file against targets in another, in one pass, a few megabytes at a time.

    Args:
        scores: (…, classes) logits or probabilities, or one score a row for two classes: a path, or PATH:NAME.
        targets: class indices, one a row; or names that the scores' header has.
        probabilities: whether the scores are probabilities; None for logits, unless they look like probabilities.
        other: scores of another model for the same rows.
        top: k of the top-k accuracy.
        ignore_index: the target of rows that do not count.
        on_rows: called with the rows done and the rows in all, where that is known.

    Raises:
        DataError, ShapeError, DtypeError, ProbabilityError: what is wrong with which file, and where.

    Example:
        >>> import tempfile, pathlib, numpy as np
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> np.save(folder / "z.npy", np.log([[0.5, 0.5], [0.9, 0.1]])); np.save(folder / "y.npy", [0, 0])
        >>> round(score_files(str(folder / "z.npy"), str(folder / "y.npy")).loss.value, 4)
        0.3993
    """
    first, truth = open_stored(scores, "logits"), open_stored(targets, "targets")
    files = [first] if other is None else [first, open_stored(other, "logits")]
    for file in files:
        check_shapes(file, truth)
    passes = [_Pass(file, truth, probabilities, top, ignore_index) for file in files]
    paired = Groups()
    done, size = 0, min(file.block_rows() for file in files)
    for labels, *blocks in in_step(truth, *files, size=size):
        rows = [one.add(block, labels, done) for one, block in zip(passes, blocks, strict=True)]
        if other is not None:
            _add_difference(paired, *rows)
        done += len(labels)
        on_rows(done, first.rows)
    results = [one.result() for one in passes]
    if other is None:
        return results[0]
    loss, accuracy = _intervals(paired.table())
    return _with(results[0], Comparison(results[1], loss, accuracy))


def _with(scores: Scores, comparison: Comparison) -> Scores:
    """The scores with their comparison."""
    return dataclasses.replace(scores, comparison=comparison)


class _Pass:
    """One file's way through the rows."""

    def __init__(self, file: Stored, truth: Stored, probabilities: bool | None, top: int, ignore_index: int) -> None:
        self.file, self.truth, self.probabilities, self.top, self.ignore = file, truth, probabilities, top, ignore_index
        self.faults = {
            "targets": Faults(f"have a target outside 0 … {max(2, file.columns) - 1} that is not {ignore_index}"),
            "nan": Faults("hold NaN or +infinity (or nothing but −infinity)"),
            "probabilities": Faults(
                "are no probabilities: negative, or their sum is not 1 (--from-logits takes logits)"
            ),
        }
        self.impossible = 0
        self.sample, self.stride = _Sample(), 1
        self.totals: Totals | None = None

    def add(self, block: Array, labels: Array, start: int) -> tuple[npt.NDArray[np.bool_], RowScores]:
        """Score a block; gives which rows counted, and their scores."""
        if self.totals is None:
            self.probabilities = check_kind(block, self.probabilities, self.file)
        values = two_columns(block, bool(self.probabilities))
        if self.totals is None:
            self.totals = Totals(values.shape[1], self.top)
        targets, given = as_indices(labels, self.file.names, start, self.truth), bool(self.probabilities)
        sound = rows_in_range(targets, values.shape[1], self.ignore, self.faults["targets"], start)
        self.totals.ignored += int(np.sum(targets == self.ignore))
        if given:
            sound &= distributions(values, self.faults, start)
        if not sound.all():
            values, targets = values[sound], targets[sound]
        self.sample.add(values, targets)
        scored = score_block(values, targets, given)
        broken = np.isnan(scored.loss)
        if broken.any():
            places = np.flatnonzero(sound)
            sound[places[broken]] = False
            self.faults["nan"].add(~sound & np.isin(np.arange(len(sound)), places[broken]), start)
            scored, targets = scored.only(~broken), targets[~broken]
        self.impossible += int(np.isinf(scored.loss).sum())
        self.totals.add(scored, targets)
        return sound, scored

    def result(self) -> Scores:
        """What came of all rows.

        Raises:
            DataError: rows that could not be scored, or none that count.
        """
        for name in ("nan", "probabilities"):
            self.faults[name].raise_if_any(self.file.path)
        self.faults["targets"].raise_if_any(self.truth.path)
        totals = self.totals
        if totals is None or not totals.rows:
            raise DataError(f"{self.truth.path}: no row counts; all targets are {self.ignore}, which is ignored")
        loss, right, top, brier = _intervals(totals.groups.table())
        temperature, before, after = self.sample.temperature(bool(self.probabilities))
        return Scores(
            source=str(self.file.path),
            probabilities=bool(self.probabilities),
            rows=totals.rows,
            ignored=totals.ignored,
            names=self.file.names or [str(place) for place in range(len(totals.support))],
            loss=loss,
            accuracy=right,
            top=totals.top,
            top_accuracy=top,
            brier=brier,
            reliability=totals.reliability(),
            impossible=self.impossible,
            temperature=temperature,
            sampled=len(self.sample),
            loss_of_sample=before,
            loss_at_temperature=after,
            support=totals.support,
            predicted=totals.predicted,
            hits=totals.hits,
            class_loss=totals.class_loss,
        )


class _Sample:
    """Every n-th row, n doubled whenever they become too many."""

    def __init__(self) -> None:
        self.stride, self.seen = 1, 0
        self.scores: list[Array] = []
        self.targets: list[npt.NDArray[np.int64]] = []

    def __len__(self) -> int:
        return sum(map(len, self.targets))

    def add(self, scores: Array, targets: npt.NDArray[np.int64]) -> None:
        """Keep the rows whose turn it is."""
        start = -self.seen % self.stride
        self.seen += len(targets)
        self.scores.append(scores[start :: self.stride].copy())
        self.targets.append(targets[start :: self.stride])
        while len(self) > max(SAMPLE_ROWS, SAMPLE_VALUES // scores.shape[1]):
            self.scores = [np.concatenate(self.scores)[::2]]
            self.targets = [np.concatenate(self.targets)[::2]]
            self.stride *= 2

    def temperature(self, probabilities: bool) -> tuple[float | None, float, float]:
        """The best temperature of the sample, and its loss without and with it."""
        from scipy.optimize import minimize_scalar

        from crossent.losses import cross_entropy

        scores, targets = np.concatenate(self.scores), np.concatenate(self.targets)
        logits = np.log(np.maximum(scores, 1e-30)) if probabilities else scores
        finite = np.isfinite(logits).all(axis=1)
        logits, targets = logits[finite], targets[finite]
        if not len(targets) or np.all(logits.argmax(axis=1) == targets):
            return None, math.nan, math.nan

        def loss(log_temperature: float) -> float:
            return float(cross_entropy(logits, targets, temperature=math.exp(log_temperature), check=False))

        bounds = (math.log(COLDEST), math.log(HOTTEST))
        best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
        return math.exp(best.x), loss(0.0), float(best.fun)


def _add_difference(
    paired: Groups, one: tuple[npt.NDArray[np.bool_], RowScores], two: tuple[npt.NDArray[np.bool_], RowScores]
) -> None:
    """Add the rows' differences, first minus other."""
    (sound, first), (sound_too, second) = one, two
    if not np.array_equal(sound, sound_too):
        return  # an error will say which rows are at fault
    with np.errstate(invalid="ignore"):  # infinity minus infinity: both find the row impossible
        loss = np.nan_to_num(first.loss - second.loss, nan=0.0, posinf=np.inf, neginf=-np.inf)
    right = (first.rank == 0).astype(np.float64) - (second.rank == 0)
    paired.add(np.stack([loss, right, np.ones(len(loss))], axis=1))


def _intervals(groups: Floats) -> list[Interval]:
    """The mean of each column over the rows, the last column, with intervals over draws of the groups."""
    random = np.random.default_rng(0)
    drawn = np.empty((DRAWS, groups.shape[1]))
    finite = np.where(np.isfinite(groups), groups, 0.0)
    for draw in range(DRAWS):
        counts = np.bincount(random.integers(0, len(groups), len(groups)), minlength=len(groups))
        drawn[draw] = counts @ finite
    with np.errstate(invalid="ignore"):
        means = groups[:, :-1].sum(axis=0) / groups[:, -1].sum()
    low, high = np.percentile(drawn[:, :-1] / drawn[:, -1:], [2.5, 97.5], axis=0)
    return [
        Interval(float(mean), *((float(a), float(b)) if np.isfinite(mean) else (float(mean), float(mean))))
        for mean, a, b in zip(means, low, high, strict=True)
    ]
