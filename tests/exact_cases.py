"""What is held against the exact answers: the functions, hard rows for them, and how a library runs them.

`tests/test_exact.py` searches the worst rows with these, `benchmarks/exactness.py` measures other libraries on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import exact
import ml_dtypes
import numpy as np
from exact import Answer, number
from mpmath import mpf

import crossent

EPSILON = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
NUMPY = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
CLASSES = 5
TEMPERATURE, CAP, SMOOTHING, Z_LOSS = 0.7, 10.0, 0.1, 0.01
Both = tuple[Answer, Answer]


class Batch(NamedTuple):
    """Rows of logits; cotangents, class indices, probabilities and weights for them; exact in their dtype."""

    z: np.ndarray
    g: np.ndarray
    y: np.ndarray
    q: np.ndarray
    weight: np.ndarray


class Case(NamedTuple):
    """A function: how to call it, and what is exact for a row of a batch."""

    name: str
    call: Callable[[Any, Callable[[Any], Any], Batch], Any]  # (x, what makes an array, batch)
    exact: Callable[[list[Any], Batch, int], Both]
    vector: bool = False  # whether it gives a number for each class, and not for each row
    gradient: Callable[[Any, Callable[[Any], Any], Batch], Any] | None = None  # (loss, gradient) without autograd


KINDS = ("plain", "confident", "tied", "tails", "close", "offset", "opposite")


def rows(kind: str, rng: np.random.Generator, spread: float, count: int, classes: int = CLASSES) -> np.ndarray:
    """Rows of logits of a kind; `spread` is their size."""
    z = rng.normal(size=(count, classes)) * spread
    if kind == "confident":
        z[np.arange(count), rng.integers(0, classes, count)] += spread * 4 + rng.uniform(0, 40, count)
    if kind == "tied":
        z = np.round(z / spread) * spread
    if kind == "tails":
        z = -rng.uniform(0, 60 * min(spread, 1.5), (count, classes)) + rng.uniform(-40, 70, (count, 1))
    if kind == "close":
        z = z * 1e-6
    if kind == "offset":
        z += 10.0 ** rng.uniform(1, 8, (count, 1)) * rng.choice([-1, 1], (count, 1))
    if kind == "opposite":  # lse near 0
        z -= np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True)) + z.max(-1, keepdims=True)
    return z


def batch(kind: str, seed: int, spread: float, dtype: str, count: int = 8, classes: int = CLASSES) -> Batch:
    """A batch of a kind, every number exact in `dtype`."""
    rng, wide = np.random.default_rng(seed), "float64" if dtype == "float64" else "float32"
    most = float(ml_dtypes.finfo(NUMPY[dtype]).max)
    z = rows(kind, rng, spread, count, classes).clip(-most, most)  # float16 has no offsets to 1e8
    shift = (
        0.0 if np.dtype(NUMPY[dtype]).itemsize == 2 else 1e3
    )  # beside it a 16-bit cotangent is the same for all classes
    g = rng.normal(size=z.shape) + rng.choice([0.0, shift], (count, 1))
    q = rng.dirichlet(np.ones(classes) * rng.choice([0.1, 1, 10]), count)
    weight = rng.uniform(0.25, 2, classes)
    z, g = (part.astype(NUMPY[dtype]).astype(np.float64) for part in (z, g))
    q, weight = (part.astype(wide).astype(np.float64) for part in (q, weight))
    return Batch(z, g, rng.integers(0, classes, count), q, weight)


def target(b: Batch, i: int, kind: str) -> list[Any]:
    """q of a row."""
    classes = b.z.shape[1]
    own = [mpf(int(j == b.y[i])) for j in range(classes)]
    if kind == "soft":
        return [number(q) for q in b.q[i]]
    if kind == "smoothed":
        keep, share = 1 - number(SMOOTHING), number(SMOOTHING) / classes
        return [(keep * a + share) * number(w) for a, w in zip(own, b.weight, strict=True)]
    return own


def _cross_entropy(kind: str, **options: Any) -> tuple[Any, Any]:
    """(the loss of each row, its loss and gradient) by crossent."""

    def arguments(make: Any, b: Batch) -> tuple[Any, ...]:
        wanted = make(b.q, wide=True) if kind == "soft" else make(b.y, integer=True)
        return (wanted, make(b.weight, wide=True)) if kind == "smoothed" else (wanted,)

    given = {
        **options,
        "reduction": "none",
        "check": False,
        **({"label_smoothing": SMOOTHING} if kind == "smoothed" else {}),
    }
    return (
        lambda x, make, b: crossent.cross_entropy(x, *arguments(make, b), **given),
        lambda x, make, b: crossent.cross_entropy_with_grad(x, *arguments(make, b), **given),
    )


def _loss(name: str, kind: str, answer: Any, **options: Any) -> Case:
    """A case of the cross-entropy."""
    call, gradient = _cross_entropy(kind, **options)
    return Case(name, call, lambda z, b, i: answer(z, target(b, i, kind)), False, gradient)


def _tempered(z: list[Any], q: list[Any]) -> Both:
    value, slope = exact.loss([a / number(TEMPERATURE) for a in z], q)
    return value, exact.scaled(slope, [1 / number(TEMPERATURE)] * len(z))


def _capped(z: list[Any], q: list[Any]) -> Both:
    z, slopes = exact.capped(z, number(CAP))
    value, slope = exact.loss(z, q)
    return value, exact.scaled(slope, slopes)


def _binary(smoothing: float, *, weighted: bool) -> tuple[Any, Any, Any]:
    """A call of the binary loss, its gradient and its exact answer."""

    def options(make: Any, b: Batch) -> dict[str, Any]:
        weights = {"pos_weight": make(b.weight, wide=True)} if weighted else {}
        return {"label_smoothing": smoothing, "reduction": "none", "check": False, **weights}

    def gradient(x: Any, make: Any, b: Batch) -> Any:
        from crossent.binary import loss_and_gradient

        return loss_and_gradient(x, make(b.q, wide=True), **options(make, b))

    def answer(z: list[Any], b: Batch, i: int) -> Both:
        keep, share = 1 - number(smoothing), number(smoothing) / 2
        parts = []
        for x, y, weight in zip(z, b.q[i], b.weight, strict=True):
            positive = (keep * number(y) + share) * (number(weight) if weighted else 1)
            parts.append(exact.binary(x, positive, keep * (1 - number(y)) + share))
        joined = ([part[k] for part in parts] for k in (0, 1))
        value, slope = (Answer([a.value[0] for a in p], [a.scale[0] for a in p]) for p in joined)
        return value, slope

    function = crossent.binary_cross_entropy_with_logits
    return lambda x, make, b: function(x, make(b.q, wide=True), **options(make, b)), answer, gradient


def _cotangent(function: Any) -> Any:
    """The answers of a function of rows that gives a number for each class."""
    return lambda z, b, i: function(z, [number(g) for g in b.g[i]])


_PLAIN, _WEIGHTED = _binary(0.0, weighted=False), _binary(SMOOTHING, weighted=True)
CASES = [
    Case("softmax", lambda x, make, b: crossent.softmax(x), _cotangent(exact.softmax), True),
    Case("log_softmax", lambda x, make, b: crossent.log_softmax(x), _cotangent(exact.log_softmax), True),
    Case("logsumexp", lambda x, make, b: crossent.logsumexp(x), lambda z, b, i: exact.logsumexp(z)),
    Case("entropy", lambda x, make, b: crossent.row_stats(x).entropy, lambda z, b, i: exact.entropy(z)),
    Case("confidence", lambda x, make, b: crossent.row_stats(x).confidence, lambda z, b, i: exact.confidence(z)),
    _loss("cross_entropy", "index", exact.loss),
    _loss("cross_entropy, soft targets", "soft", exact.loss),
    _loss("cross_entropy, smoothing and class weights", "smoothed", exact.loss),
    _loss("cross_entropy, temperature", "index", _tempered, temperature=TEMPERATURE),
    _loss("cross_entropy, soft-cap", "index", _capped, softcap=CAP),
    _loss("cross_entropy, z-loss", "index", lambda z, q: exact.with_z_loss(z, q, number(Z_LOSS)), z_loss=Z_LOSS),
    Case("binary_cross_entropy_with_logits", _PLAIN[0], _PLAIN[1], True, _PLAIN[2]),
    Case("the same, smoothing and pos_weight", _WEIGHTED[0], _WEIGHTED[1], True, _WEIGHTED[2]),
]
BY_NAME = {case.name: case for case in CASES}


class Errors(NamedTuple):
    """The largest errors in units of the last place: values, gradients, and both in the tails; NaN where not asked."""

    value: float
    gradient: float
    tail_value: float
    tail_gradient: float


def worst(case: Case, b: Batch, dtype: str, value: Any, gradient: Any) -> Errors:
    """The errors of a result; the tails are the numbers below the dtype's epsilon."""
    found = {"value": [0.0], "gradient": [0.0], "tail_value": [0.0], "tail_gradient": [0.0]}
    for i in range(len(b.z)):
        answers = case.exact([number(z) for z in b.z[i]], b, i)
        for name, got, answer in zip(("value", "gradient"), (value, gradient), answers, strict=True):
            if got is None:
                continue
            errors = exact.ulps(np.reshape(np.asarray(got)[i], -1), answer, dtype)
            tail = np.asarray([abs(x) < EPSILON[dtype] for x in answer.value])
            found[name] += errors[~tail].tolist()
            found[f"tail_{name}"] += errors[tail].tolist()
    return Errors(*(float(np.max(part)) for part in found.values()))


def together(one: Errors, two: Errors) -> Errors:
    """The larger of each."""
    return Errors(*(max(a, b) for a, b in zip(one, two, strict=True)))


def bounds_table(bounds: dict[str, Any]) -> str:
    """bounds.BOUNDS in Markdown, for docs/exactness.md."""
    columns = [(room, dtype) for room, dtypes in bounds.items() for dtype in dtypes]
    lines = [f"| | {' | '.join(f'{room}, {dtype}' for room, dtype in columns)} |", f"|---|{'---|' * len(columns)}"]
    for name in BY_NAME:
        found = [bounds[room][dtype].get(name) for room, dtype in columns]
        cells = ["{} / {} ({} / {})".format(*each) if each else "–" for each in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
