"""The exact answers, from the formulas alone, in 320 bits; and how far a number is from one, in units of the last one.

A row is a list of numbers taken as they are. Each answer comes with a scale, of which the unit is counted: the number
itself, unless terms of both signs make it; then the size of those terms, since near its zero such a number has no last
place. Nothing here subtracts what is nearly equal: sums leave out by adding the others.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf

mp.prec = 320
# From here on a number rounds to infinity.
MOST = {
    "bfloat16": mpf(2) ** 128 * (1 - mpf(2) ** -9),
    "float16": mpf(65520),
    "float32": mpf(2) ** 128,
    "float64": mpf(2) ** 1024,
}
BITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
SMALLEST = {"bfloat16": -126, "float16": -14, "float32": -126, "float64": -1022}  # exponent of the smallest normal


class Answer(NamedTuple):
    """Numbers, and the size of what each is made of."""

    value: list[Any]
    scale: list[Any]


class Row(NamedTuple):
    """p, what all the others have (1 − p), m and log1p(r) of a row of logits."""

    p: list[Any]
    rest: list[Any]
    m: Any
    length: Any


def number(x: Any) -> Any:
    """A floating number as it is."""
    return mpf(float(x))


def others(v: list[Any]) -> list[Any]:
    """For each entry the sum of all the others."""
    before = list(itertools.accumulate(v, initial=mpf(0)))[:-1]
    after = list(itertools.accumulate(reversed(v), initial=mpf(0)))[:-1][::-1]
    return [a + b for a, b in zip(before, after, strict=True)]


def row(z: list[Any]) -> Row:
    """What a row of logits is."""
    m = max(z)
    e = [mp.exp(x - m) for x in z]
    total = sum(e)
    rest = others(e)
    return Row([x / total for x in e], [x / total for x in rest], m, mp.log1p(rest[z.index(m)]))


def log_p(s: Row) -> list[Any]:
    """log pᵢ = −log1p(Σ_{j≠i} exp(z_j − z_i))."""
    return [-mp.log1p(rest / p) for p, rest in zip(s.p, s.rest, strict=True)]


def plain(value: list[Any]) -> Answer:
    """Numbers whose terms all have one sign."""
    return Answer(value, [abs(x) for x in value])


def differences(one: list[Any], two: list[Any]) -> Answer:
    """one − two, of numbers that are not negative."""
    return Answer([a - b for a, b in zip(one, two, strict=True)], [max(a, b) for a, b in zip(one, two, strict=True)])


def softmax_gradient(p: list[Any], g: list[Any]) -> Answer:
    """p_i·Σ_j p_j·(g_i − g_j)."""
    value = [a * sum(b * (x - y) for b, y in zip(p, g, strict=True)) for a, x in zip(p, g, strict=True)]
    scale = [a * sum(b * abs(x - y) for b, y in zip(p, g, strict=True)) for a, x in zip(p, g, strict=True)]
    return Answer(value, scale)


def softmax(z: list[Any], g: list[Any]) -> tuple[Answer, Answer]:
    """softmax, and its gradient along a cotangent."""
    p = row(z).p
    return plain(p), softmax_gradient(p, g)


def log_softmax(z: list[Any], g: list[Any]) -> tuple[Answer, Answer]:
    """log softmax, and its gradient g_i·(1 − p_i) − p_i·Σ_{j≠i} g_j."""
    s = row(z)
    value = [x * r - p * o for x, r, p, o in zip(g, s.rest, s.p, others(g), strict=True)]
    size = others([abs(x) for x in g])
    scale = [abs(x) * r + p * o for x, r, p, o in zip(g, s.rest, s.p, size, strict=True)]
    return plain(log_p(s)), Answer(value, scale)


def logsumexp(z: list[Any]) -> tuple[Answer, Answer]:
    """m + log1p(r), and its gradient."""
    s = row(z)
    return Answer([s.m + s.length], [max(abs(s.m), s.length)]), plain(s.p)


def entropy(z: list[Any]) -> tuple[Answer, Answer]:
    """−Σ p·log p, and its gradient p_i·Σ_j p_j·(z_j − z_i)."""
    s = row(z)
    gradient = softmax_gradient(s.p, [-x for x in z])
    return plain([-sum(p * x for p, x in zip(s.p, log_p(s), strict=True))]), gradient


def confidence(z: list[Any]) -> tuple[Answer, Answer]:
    """The highest p, and its gradient."""
    s = row(z)
    top = z.index(s.m)
    gradient = [s.p[top] * (s.rest[i] if i == top else -p) for i, p in enumerate(s.p)]
    return plain([s.p[top]]), plain(gradient)


def loss(z: list[Any], q: list[Any]) -> tuple[Answer, Answer]:
    """−Σ q·log p, and its gradient p_i·Σ_{j≠i} q_j − q_i·(1 − p_i)."""
    s = row(z)
    value = [-sum(a * b for a, b in zip(q, log_p(s), strict=True))]
    pulls = [p * o for p, o in zip(s.p, others(q), strict=True)]
    return plain(value), differences(pulls, [a * r for a, r in zip(q, s.rest, strict=True)])


def with_z_loss(z: list[Any], q: list[Any], factor: Any) -> tuple[Answer, Answer]:
    """The loss with factor·lse²."""
    s, (value, slope) = row(z), loss(z, q)
    lse = s.m + s.length
    pull = [2 * factor * lse * p for p in s.p]
    whole = [a + b for a, b in zip(slope.value, pull, strict=True)]
    size = [max(a, 2 * factor * max(abs(s.m), s.length) * p) for a, p in zip(slope.scale, s.p, strict=True)]
    square = factor * max(abs(s.m), s.length) ** 2
    return Answer([value.value[0] + factor * lse**2], [max(value.scale[0], square)]), Answer(whole, size)


def capped(x: list[Any], cap: Any) -> tuple[list[Any], list[Any]]:
    """(cap·tanh(x/cap), its slope)."""
    return [cap * mp.tanh(a / cap) for a in x], [1 / mp.cosh(a / cap) ** 2 for a in x]


def scaled(answer: Answer, factors: list[Any]) -> Answer:
    """The same times a factor each."""
    value = [a * b for a, b in zip(answer.value, factors, strict=True)]
    return Answer(value, [a * abs(b) for a, b in zip(answer.scale, factors, strict=True)])


def binary(x: Any, positive: Any, negative: Any) -> tuple[Answer, Answer]:
    """The loss of one element, and its gradient negative·σ(x) − positive·σ(−x)."""
    up, down = 1 / (1 + mp.exp(-x)), 1 / (1 + mp.exp(x))
    value = positive * mp.log1p(mp.exp(-x)) + negative * mp.log1p(mp.exp(x))
    size = abs(up - down) * positive if positive == negative else max(negative * up, positive * down)
    return plain([value]), Answer([negative * up - positive * down], [size])


def ulps(got: Any, exact: Answer, dtype: str) -> np.ndarray:
    """How far each number is from the exact one, in units of the last place of a dtype: the smallest normal at least.

    (What lies between is below any number that processors do not flush to 0.)
    """
    out = []
    for x, value, scale in zip(np.ravel(np.asarray(got, np.float64)), exact.value, exact.scale, strict=True):
        size = max(scale, abs(value), mpf(2) ** -1100)
        if abs(x) == np.inf:  # right where the exact number rounds to it
            out.append(0.0 if abs(value) >= MOST[dtype] and (x > 0) == (value > 0) else float("inf"))
            continue
        exponent = int(mp.floor(mp.log(size, 2))) - BITS[dtype] + 1
        out.append(float(abs(number(x) - value) / mpf(2) ** max(exponent, SMALLEST[dtype])))
    return np.asarray(out)
