"""The definition: what one row of logits leaves behind, in plain array-API operations.

A row is C logits z and a target distribution q over the classes (here the last axis) with mass w = Σq. Then

    loss = w·log Σ exp(z) − ⟨q, z⟩        d loss/dz = w·softmax(z) − q

and a row is summarised by statistics relative to its maximum, which `merge` joins associatively:

    m = max z    r = Σ exp(z−m) − 1    t = Σ q·(z−m)    w = Σ q    a = argmax z    u = Σ exp(z−m)·(z−m)
so that loss = w·log1p(r) − t is shift-invariant, and r, summed without the maximum's own 1, keeps its relative
accuracy when the row is confident. Zeros are selected, never multiplied: 0·∞ does not occur.
float32 is computed in float64 where the library has that (`wide`); what else rounds z − m carries the rest into exp.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import array_api_compat

Array = Any
NAMESPACES: dict[type, Any] = {}  # of array types seen; a library with another spelling puts its own here
NARROW = ("jax", "crossent._call.mlx")  # libraries without float64, or not always
HAVE_FLOAT64 = ("cpu", "cuda", "meta")  # torch's devices


class RowStats(NamedTuple):
    """The statistics of a row, or of a block of its classes; (−∞, −1, 0, 0, …) is the identity of `merge`."""

    m: Array
    r: Array
    t: Array
    w: Array
    a: Array
    u: Array | None = None


def namespace(x: Array) -> Any:
    """The array-API namespace of x; torch's directly, since torch.compile cannot trace array_api_compat's search."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        import array_api_compat.torch as torch_namespace

        return torch_namespace
    if type(x) not in NAMESPACES:
        NAMESPACES[type(x)] = array_api_compat.array_namespace(x)
    return NAMESPACES[type(x)]


def wide(x: Array) -> Array:
    """float32 as float64, so that no rounding inside shows; as it is where there is no float64, or not always (JAX)."""
    xp = namespace(x)
    narrow = xp.__name__.startswith(NARROW) or ("torch" in xp.__name__ and x.device.type not in HAVE_FLOAT64)
    return x if narrow or x.dtype != xp.float32 else xp.astype(x, xp.float64)


def class_mask(index: Array, x: Array) -> Array:
    """Where in x (…, C) each row's class `index` (…) stands."""
    classes = namespace(x).arange(x.shape[-1], dtype=index.dtype, device=getattr(x, "device", None))
    return classes == index[..., None]


def product(q: Array, x: Array) -> Array:
    """q·x with 0·x = 0 for every x, infinite and NaN too."""
    return q * namespace(x).where(q != 0, x, 0.0)


def centre(z: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
    """(a, m, r) of the rows of z and (top, d, e) of their elements, `wide`: a's place, d = z − m, e = exp(z − m).

    A row of −∞ alone has r = −1, a row with +∞ or NaN has r = NaN. m is z at a, also to the library's autodiff.
    """
    xp, given = namespace(z), z
    a = xp.argmax(z, axis=-1)
    top = class_mask(a, z)
    z = wide(z)
    m = xp.sum(xp.where(top, z, 0.0), axis=-1)
    middle = xp.where(m == -math.inf, 0.0, m)[..., None]
    d = z - middle
    e = xp.exp(d)
    if z.dtype == given.dtype:  # d is rounded: its error, exact by Knuth's two-sum, is a factor of e
        moved = d - z
        e = e * (1 + xp.where(e != 0, (z - (d - moved)) - (middle + moved), 0.0))
    r = xp.sum(xp.where(top, 0.0, e), axis=-1)
    return a, m, xp.where(m == -math.inf, -1.0, xp.where(m < math.inf, r, math.nan)), top, d, e


def row_stats(z: Array, q: Array, seen: Any = None, *, moment: bool = False) -> RowStats:
    """The statistics of each row of logits z (…, C) with targets q (…, C); u where `moment` asks for it."""
    xp, q = namespace(z), wide(q)
    a, m, r, _, d, e = seen or centre(z)
    u = xp.sum(product(e, d), axis=-1) if moment else None
    half, d = (0.5, 0.5 * z - 0.5 * m[..., None]) if z.dtype == d.dtype else (1, d)  # d may overflow for a finite t
    t = xp.where(m == -math.inf, 0.0, xp.sum(product(q, d), axis=-1) / half)
    return RowStats(m, r, t, xp.sum(q, axis=-1), a, u)


def merge(one: RowStats, two: RowStats) -> RowStats:
    """The statistics of two blocks of classes of the same rows, taken together; safe when either m is −∞."""
    xp = namespace(one.m)
    first = one.m >= two.m
    pairs = [(x, y) for x, y in zip(one, two, strict=True) if x is not None]
    high = RowStats(*(xp.where(first, x, y) for x, y in pairs))
    low = RowStats(*(xp.where(first, y, x) for x, y in pairs))
    m = xp.maximum(one.m, two.m)
    half = xp.where(low.m == m, 0.0, 0.5 * low.m - 0.5 * m)  # the whole may overflow where a product is finite
    step, mass = 2 * half, 1 + low.r
    scale, t = xp.exp(step), high.t + low.t + 2 * product(low.w, half)
    u = None if one.u is None else high.u + product(scale, low.u + product(mass, step))
    return RowStats(m, high.r + mass * scale, t, high.w + low.w, high.a, u)


def loss(s: RowStats) -> Array:
    """w·log1p(r) − t: the cross-entropy of each row; NaN where every logit is −∞."""
    return namespace(s.m).where(s.m == -math.inf, math.nan, s.w * namespace(s.m).log1p(s.r) - s.t)


def lse(s: RowStats) -> Array:
    """m + log1p(r) = log Σ exp(z); ±∞ where m is."""
    xp = namespace(s.m)
    return xp.where((s.m == math.inf) | (s.m == -math.inf), s.m, s.m + xp.log1p(s.r))


def confidence(s: RowStats) -> Array:
    """1/(1 + r): the probability of the most probable class."""
    return 1 / namespace(s.m).where(s.m == -math.inf, math.nan, 1 + s.r)


def entropy(s: RowStats) -> Array:
    """log1p(r) − u/(1 + r) = −Σ p·log p, in nats."""
    return namespace(s.m).log1p(s.r) - s.u * confidence(s)


def gradient(z: Array, q: Array, seen: Any = None) -> Array:
    """d loss/dz = w·softmax(z) − q, `wide`, with relative accuracy at the maximum too.

    There p = 1 − r/(1+r), so the same number is (w − q) − w·r/(1+r): exact where p and q both round to 1. Of the two
    forms the one with the smaller terms is taken. The same function serves log-softmax (q = the cotangent).
    """
    xp, q = namespace(z), wide(q)
    _, _, r, top, _, e = seen or centre(z)
    rest = xp.sum(xp.where(top, 0.0, q), axis=-1)
    own = xp.sum(xp.where(top, q, 0.0), axis=-1)
    k = (rest + own) / xp.where(r == -1, math.nan, 1 + r)
    at_top = xp.where(xp.abs(rest) + xp.abs(k) * r < xp.abs(own) + xp.abs(k), rest - k * r, k - own)
    return xp.where(top, at_top[..., None], k[..., None] * e - q)
