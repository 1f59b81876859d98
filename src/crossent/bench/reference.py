"""What is right: each case in float64, in plain NumPy without crossent, a block of rows at a time."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .cases import BOTH, Case
from .inputs import Inputs, data_of, inputs_of

__all__ = ["OF_PEERS", "Answer", "answer_of", "fault"]

Floats = npt.NDArray[np.float64]
BLOCK = 1 << 19
# How far crossent may be off, relative to an element and to the mean of all: log-probabilities near −10 are multiples
# of 1/16 in bfloat16, which is 6 % of a probability. A mean loss may be off by a quarter of it; the peers by four times
# as much, which torch's chunked linear loss needs in bfloat16.
TOLERANCE = {"float64": 1e-10, "float32": 2e-4, "float16": 2e-2, "bfloat16": 8e-2}
OF_A_MEAN, OF_PEERS = 0.25, 4.0


@dataclass(frozen=True)
class Answer:
    """The value (a number, or one array for softmax and its kin), and the gradients of a loss."""

    value: npt.NDArray[Any]
    gradients: tuple[npt.NDArray[Any], ...] = ()


def answer_of(case: Case) -> Answer:
    """The value and gradients of a case, arrays of rows rounded to float32; the last one is kept."""
    data = dataclasses.replace(data_of(case), smoothing=case.smoothing)
    return _answer(data if data.work != "rows" else dataclasses.replace(data, work=case.work))


@functools.lru_cache(maxsize=1)
def _answer(case: Case) -> Answer:
    inputs = inputs_of(case)
    if case.work == "binary":
        return _binary(inputs)
    if case.work == "linear":
        return _linear(case, inputs)
    if case.work != "cross_entropy":
        return Answer(_softmax(case.work, flat(inputs.logits)))
    return _cross_entropy(case, inputs)


def flat(x: Any) -> npt.NDArray[Any]:
    """An array of any library as NumPy's, rows by classes, with axis 1 moved last; a view where it can be one."""
    x = x.detach() if hasattr(x, "detach") else x
    x = x.float() if str(getattr(x, "dtype", "")) == "torch.bfloat16" else x
    array: npt.NDArray[Any] = np.asarray(x)
    rows: npt.NDArray[Any] = np.moveaxis(array, 1, -1).reshape(-1, array.shape[1]) if array.ndim > 1 else array
    return rows


def blocks(rows: int, classes: int) -> Iterator[slice]:
    """Slices of rows whose float64 copy stays in cache."""
    step = max(1, BLOCK // classes)
    yield from (slice(start, start + step) for start in range(0, rows, step))


def _softmax(work: str, x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """softmax, log_softmax or logsumexp of rows."""
    out = np.empty(x.shape if work != "logsumexp" else x.shape[:1], dtype=np.float32)
    for block in blocks(*x.shape):
        z = x[block].astype(np.float64)
        lse = _lse(z)
        out[block] = lse[:, 0] if work == "logsumexp" else np.exp(z - lse) if work == "softmax" else z - lse
    return out


def _lse(z: Floats) -> Floats:
    """The log of the sum of the exponentials of each row, as a column."""
    most = z.max(1, keepdims=True)
    return np.asarray(most + np.log(np.exp(z - most).sum(1, keepdims=True)))


def _cross_entropy(case: Case, inputs: Inputs) -> Answer:
    """The mean of lse − ⟨q, z⟩, and (softmax(z) − q)/N."""
    x = flat(inputs.torch["logits"] if case.dtype != "float32" else inputs.logits)
    y = flat(inputs.target) if case.probabilities else inputs.target.reshape(-1)
    gradient = np.empty(x.shape, dtype=np.float32)
    total = 0.0
    for block in blocks(*x.shape):
        z = x[block].astype(np.float64)
        q = _distribution(y[block], z, case)
        lse = _lse(z)
        total += float((lse[:, 0] - (q * z).sum(1)).sum())
        gradient[block] = (np.exp(z - lse) - q) / len(x)
    return Answer(np.asarray(total / len(x)), (gradient,))


def _distribution(y: npt.NDArray[Any], z: Floats, case: Case) -> Floats:
    """The target distribution of each row."""
    if case.probabilities:
        return y.astype(np.float64)
    q = np.full(z.shape, case.smoothing / z.shape[1])
    q[np.arange(len(y)), y] += 1 - case.smoothing
    return q


def _binary(inputs: Inputs) -> Answer:
    """The mean of log(1 + exp(x)) − y·x, and (σ(x) − y)/N."""
    x, y = inputs.logits.astype(np.float64), inputs.target.astype(np.float64)
    value = (np.logaddexp(0, x) - y * x).mean()
    return Answer(np.asarray(value), ((1 / (1 + np.exp(-x)) - y) / len(x),))


def _linear(case: Case, inputs: Inputs) -> Answer:
    """The cross-entropy of X·Wᵀ and its gradients by X and W."""
    if case.dtype == "float32":
        x, w = inputs.features.astype(np.float64), inputs.weight.astype(np.float64)
    else:
        x, w = (inputs.torch[name].double().numpy() for name in ("features", "weight"))
    dx, dw, total = np.empty_like(x), np.zeros_like(w), 0.0
    for start in range(0, len(x), 256):
        block = slice(start, start + 256)
        z = x[block] @ w.T
        q = _distribution(inputs.target[block], z, case)
        lse = _lse(z)
        total += float((lse[:, 0] - (q * z).sum(1)).sum())
        dz = (np.exp(z - lse) - q) / len(x)
        dx[block] = dz @ w
        dw += dz.T @ x[block]
    return Answer(np.asarray(total / len(x)), (dx, dw))


def fault(case: Case, right: Answer, value: Any, gradients: Any, slack: float = 1.0) -> str | None:
    """What is wrong with a result, in a few words; None where it is right."""
    gradients = () if gradients is None else gradients if isinstance(gradients, tuple) else (gradients,)
    wanted_gradients = right.gradients if case.passes == BOTH else ()
    if len(gradients) != len(wanted_gradients):
        return f"there are {len(gradients)} gradients, expected {len(wanted_gradients)}"
    pairs = [("value", value, right.value)]
    pairs += [("gradient", *pair) for pair in zip(gradients, wanted_gradients, strict=True)]
    for what, got, wanted in pairs:
        of_a_mean = OF_A_MEAN if wanted.ndim == 0 else 1.0
        off = _off(flat(got), wanted, case.dtype, TOLERANCE[case.dtype] * slack * of_a_mean)
        if off is not None:
            return f"its {what} is {off}"
    return None


def _off(got: npt.NDArray[Any], wanted: npt.NDArray[Any], dtype: str, tolerance: float) -> str | None:
    """How far off a result is, if it is further than the tolerance: relative to the element and to the mean of all.

    The mean keeps differences p − q of nearly equal numbers from being asked for more than they can have.
    """
    if got.shape != wanted.shape:
        return f"of shape {got.shape}, expected {wanted.shape}"
    excess, total = 0.0, 0.0
    whole = got.reshape(len(got) if got.ndim else 1, -1), wanted.reshape(len(wanted) if wanted.ndim else 1, -1)
    for block in blocks(*whole[1].shape):
        mine, right = (np.asarray(part[block], dtype=np.float64) for part in whole)
        size = np.abs(right)
        worst = float(np.max(np.abs(mine - right) - tolerance * size))
        excess = max(excess, worst) if math.isfinite(worst) else math.inf
        total += float(size.sum())
    mean = total / wanted.size
    smallest = float(np.finfo(np.float16).smallest_subnormal) if dtype == "float16" else 0.0
    if excess <= tolerance * mean + smallest:
        return None
    return f"off by {excess / mean:.1e} of its mean element"
